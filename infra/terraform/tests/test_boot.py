"""Boots machines: the rendered user data runs completely, with packages and images, in a container of the machines' distribution.
Only AWS's endpoints, and systemd, which a container lacks, are stand-ins.

The machines' own script installs the distribution's packages once a week into an image, which saves other runs a minute. The image is
rebuilt when the script changes."""

import base64
import contextlib
import datetime
import hashlib
import ipaddress
import json
import os
import pathlib
import random
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from aws import KEYS, Machine, Moto
from environments import locked
from rendered import PROJECT, TERRAFORM, password_requests, user_data

# Debian 13, as the machines have.
DISTRIBUTION = "rust:1.95-slim-trixie"
AGENTS = ["amazon-ssm-agent", "amazon-cloudwatch-agent"]
SERVICES = ["vote", "worker", "result"]
# Tag of the images under test (docker compose build with this TAG).
TAG = os.environ.get("TAG", "under-test")
# In seconds, for operations that take a few seconds on an idle machine.
TIMEOUT = 300


def run(*command, **options):
    done = subprocess.run(command, text=True, capture_output=True, **options)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def free_port():
    """A free port outside of the range for outgoing connections, because it is used only minutes later."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def status(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
            return response.status
    except urllib.error.HTTPError as response:
        return response.code
    except OSError:
        return None


def metrics(port):
    """The lines of an exporter's metrics at this port; none while it is unreachable."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
            return set(response.read().decode().splitlines())
    except OSError:
        return set()


def until(what, condition, seconds=TIMEOUT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.3)


# Registries in the user data: one with a pull secret for the single machine, ECR for the groups.
REGISTRIES = {"everything": "registry.example", "front": "123456789012.dkr.ecr.us-east-1.amazonaws.com", "worker": "123456789012.dkr.ecr.us-east-1.amazonaws.com"}
# The registry accepts this login, and the password that moto's ECR returns (AWS:123456789012-auth-token). registry.htpasswd has the
# hashes of both.
PULL_SECRET = "puller:a-secret-of-the-operator"


class Registry:
    """A registry with the images, which requires a login, so that machines pull them as from any other registry."""

    def __init__(self, folder):
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        settings = folder / "registry.yml"
        settings.write_text(
            f"version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {folder}/registry }} }}\nhttp: {{ addr: '{self.name}' }}\n"
            f"auth: {{ htpasswd: {{ realm: registry, path: {pathlib.Path(__file__).parent}/registry.htpasswd }} }}\n"
        )
        self.process = subprocess.Popen(["docker-registry", "serve", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("registry", lambda: status(self.port, "/v2/") == 401)
        login = {"auths": {self.name: {"auth": base64.b64encode(PULL_SECRET.encode()).decode()}}}
        (folder / "docker").mkdir()
        (folder / "docker" / "config.json").write_text(json.dumps(login))
        for service in SERVICES:
            image = self.image(service)
            run("docker", "tag", f"voting-app/{service}:{TAG}", image)
            run("docker", "--config", f"{folder}/docker", "push", "--quiet", image)
            run("docker", "rmi", image)

    def image(self, service):
        return f"{self.name}/voting-app/{service}:under-test"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        for service in SERVICES:
            subprocess.run(["docker", "rmi", "--force", self.image(service)], capture_output=True)


class Host:
    """A container instead of a machine, with this machine's Docker engine. Several roles may boot in it, each in its own folder."""

    def __init__(self, folder, moto, machine, image):
        self.folder = folder
        self.name = f"voting-app-boot-{secrets.token_hex(4)}"
        systemctl = folder / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "$@" >>{folder}/systemctl.log\n')
        systemctl.chmod(0o755)
        environment = {
            **KEYS,
            "AWS_ENDPOINT_URL": moto.url,
            "AWS_ENDPOINT_URL_AUTO_SCALING": machine.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.url,
        }
        run(
            "docker", "run", "--detach", "--rm", "--name", self.name, "--network=host",
            "--volume=/var/run/docker.sock:/var/run/docker.sock", f"--volume={folder}:{folder}",
            f"--volume={systemctl}:/usr/local/bin/systemctl:ro",
            *(f"--env={key}={value}" for key, value in environment.items()),
            image, "sleep", "infinity",
        )  # fmt: skip

    def exec(self, *command):
        return run("docker", "exec", self.name, *command)

    @contextlib.contextmanager
    def watching(self, home, *settings):
        """Inside, the watchdog runs, as a replacement for systemd's service."""
        start = ["sh", "-c", f"echo $$ >{home}/watch.pid; exec env WATCH_INTERVAL=1 {' '.join(settings)} {home}/bin/watch"]
        watch = subprocess.Popen(["docker", "exec", self.name, *start], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            subprocess.run(["docker", "exec", self.name, "sh", "-c", f"kill $(cat {home}/watch.pid)"], capture_output=True)
            watch.wait()
            # A running bin/start survives it, and would restart containers that a test removes.
            until("the end of bin/start", lambda: "bin/start" not in run("docker", "top", self.name))

    def stop(self):
        # Files written in the container belong to root.
        subprocess.run(["docker", "exec", self.name, "sh", "-c", f"rm -rf {self.folder}/role-*"], capture_output=True)
        subprocess.run(["docker", "rm", "--force", self.name], capture_output=True)


def installed(world):
    """An image of the distribution in which the machines' own script has installed its packages."""
    programs = [user_data()[role].replace('"$home/bin/boot"', '"$home/bin/install"') for role in ["everything", "monitoring"]]
    # Packages of the distribution change; once a week they are installed again.
    made_from = [run("docker", "image", "inspect", "--format={{.Id}}", DISTRIBUTION), f"{datetime.date.today():%G-%V}", *programs]
    image = f"voting-app-machine:{hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]}"
    with locked(PROJECT / "target" / "machine.lock"):
        if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0:
            return image
        host = Host(world.folder, world.moto, world.machine, DISTRIBUTION)
        try:
            for program in programs:
                script = re.sub(r"export DATA_DEVICE='.*?'", "export DATA_DEVICE=''", program.replace("/opt/voting-app", f"{world.folder}/role-install"))
                (world.folder / "install").write_text(script)
                host.exec("bash", str(world.folder / "install"))
            # Each boot installs AWS's agents itself.
            host.exec("dpkg", "--purge", *AGENTS)
            # Older images are removed, unless a container of another run uses them.
            others = run("docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", "voting-app-machine").split()
            run("docker", "commit", host.name, image)
            subprocess.run(["docker", "rmi", *others], capture_output=True)
        finally:
            host.stop()
    return image


class Role:
    """The services of one machine."""

    def __init__(self, world, role, ports, settings="", replace=()):
        self.world = world
        self.home = world.folder / f"role-{role}"
        self.project = f"boot-{secrets.token_hex(4)}"
        self.ports = ports
        script = user_data()[role]
        for old, new in [
            ("/opt/voting-app", str(self.home)),
            *((registry, world.registry.name) for name, registry in REGISTRIES.items() if name == role),
            ("--project-name voting-app", f"--project-name {self.project}"),
            *replace,
        ]:
            assert old in script, f"{old} is not in the user data"
            script = script.replace(old, new)
        # A container has no data disk.
        self.script = re.sub(r"(?m)^export DATA_DEVICE=.*$", "export DATA_DEVICE=''", script)
        parameter = re.search(r"(?m)^export SETTINGS_PARAMETER='(.*)'$", script)[1]
        if parameter:
            published = "".join(f"{name.upper()}_PORT={port}\n" for name, port in ports.items())
            world.moto.client("ssm").put_parameter(Name=parameter, Type="String", Value=settings + published, Overwrite=True)
        (world.folder / f"boot-{role}").write_text(self.script)
        self.boot = ["bash", str(world.folder / f"boot-{role}")]

    def containers(self):
        return run("docker", "ps", "--quiet", "--no-trunc", f"--filter=label=com.docker.compose.project={self.project}").split()

    def container(self, service):
        return run("docker", "ps", "--all", "--quiet", f"--filter=name=^{self.project}[-_]{service}[-_]1$")

    def stop(self):
        # By project name: compose finds the containers by their labels.
        compose = ["docker", "compose", "--project-name", self.project, "down", "--volumes", "--remove-orphans", "--timeout=1"]
        subprocess.run(["docker", "exec", "--workdir=/", self.world.host.name, *compose], capture_output=True)


class World:
    """The environment of a booting machine."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="boot-", dir=PROJECT / "target"))
        self.moto = Moto()
        self.machine = Machine()
        self.registry = Registry(self.folder)
        self.agents()
        self.host = Host(self.folder, self.moto, self.machine, installed(self))
        self.secrets = {}
        for role, script in user_data().items():
            for name in re.findall(r"/voting-app-\w+/secrets/([\w-]+)", script):
                environment = "single" if role == "everything" else "fleet"
                self.secret(f"/voting-app-{environment}/secrets/{name}")

    def secret(self, name):
        if name not in self.secrets:
            # Generated as in the module secrets. A secret from outside is none at first.
            request = password_requests().get(name)
            self.secrets[name] = self.moto.client("secretsmanager").get_random_password(**request)["RandomPassword"] if request else "none"
            if name.endswith("/image-pull-secret"):
                self.secrets[name] = PULL_SECRET
            self.moto.client("ssm").put_parameter(Name=name, Type="SecureString", Value=self.secrets[name])
        return self.secrets[name]

    def agents(self):
        """Publishes empty packages with the names of AWS's agents."""
        s3 = self.moto.client("s3")
        architecture = run("dpkg", "--print-architecture")
        for package, bucket, key in [
            ("amazon-ssm-agent", "amazon-ssm-us-east-1", f"latest/debian_{architecture}/amazon-ssm-agent.deb"),
            ("amazon-cloudwatch-agent", "amazoncloudwatch-agent-us-east-1", f"debian/{architecture}/latest/amazon-cloudwatch-agent.deb"),
        ]:
            control = self.folder / package / "DEBIAN" / "control"
            control.parent.mkdir(parents=True)
            control.write_text(f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: tests\nDescription: stand-in\n")
            (self.folder / package / "opt/aws/amazon-cloudwatch-agent/etc").mkdir(parents=True)
            run("dpkg-deb", "--root-owner-group", "--build", str(self.folder / package))
            s3.create_bucket(Bucket=bucket, ACL="public-read")
            s3.put_object(Bucket=bucket, Key=key, Body=(self.folder / f"{package}.deb").read_bytes(), ACL="public-read")

    def stop(self):
        self.host.stop()
        self.registry.stop()
        self.moto.stop()
        self.machine.shutdown()
        self.machine.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Boot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.stop)

    def role(self, *arguments, **options):
        role = Role(self.world, *arguments, **options)
        self.addCleanup(role.stop)
        return role

    def assert_counts_a_vote(self, vote, result):
        request = urllib.request.Request(
            f"http://127.0.0.1:{vote}/api/votes", json.dumps({"choice": "b"}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            self.assertEqual(response.status, 202)

        def counted():
            with urllib.request.urlopen(f"http://127.0.0.1:{result}/api/tally", timeout=TIMEOUT) as response:
                return '"b"' in (text := response.read().decode()) and re.search(r'"votes":\s*1\b', text)

        until("the vote on the result page", counted)

    def test_one_machine_with_everything(self):
        ports = {name: free_port() for name in [*SERVICES, "vote_management", "result_management"]}
        exporters = {name: free_port() for name in ["redis_exporter", "postgres_exporter", "cadvisor"]}
        role = self.role("everything", {**ports, **exporters})
        calls_before = len(self.world.machine.calls)
        self.world.host.exec(*role.boot)

        with self.subTest("its services are ready, and count votes"):
            for service, port in ports.items():
                self.assertEqual(status(port, "/ready"), 200, service)
            self.assert_counts_a_vote(ports["vote"], ports["result"])

        # cAdvisor's image is not available here, and the services run without it.
        with self.subTest("its exporters have metrics of queue and store"):
            for exporter, up, metric in [
                ("redis_exporter", "redis_up 1", 'redis_key_size{db="db0",key="ballots"} '),
                ("postgres_exporter", "pg_up 1", 'pg_stat_database_xact_commit{datid="5",datname="postgres"} '),
            ]:
                until(exporter, lambda: up in (lines := metrics(exporters[exporter])) and any(line.startswith(metric) for line in lines))

        with self.subTest("its secrets are those of the parameter store, readable by root only, and not in the user data"):
            kept = self.world.host.exec("cat", f"{role.home}/secrets.env")
            for name in ["cookie-key", "vote-queue-password", "worker-store-password", "monitor-queue-password", "monitor-store-password"]:
                secret = self.world.secrets[f"/voting-app-single/secrets/{name}"]
                self.assertIn(secret, kept)
                self.assertNotIn(secret, role.script)
            private = [f"{role.home}/secrets.env", f"{role.home}/docker/config.json", f"{role.home}/docker", str(role.home)]
            self.assertEqual(self.world.host.exec("stat", "--format=%a", *private).split(), ["600", "600", "700", "700"])

        with self.subTest("its agents and its watchdog are started, and it belongs to no group"):
            started = (self.world.folder / "systemctl.log").read_text()
            for unit in ["docker", "amazon-ssm-agent", "amazon-cloudwatch-agent", "prometheus-node-exporter", "voting-app-watch"]:
                self.assertIn(unit, started)
            agent = self.world.host.exec("cat", "/opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.json")
            self.assertIn("/voting-app-single/services", agent)
            self.assertEqual(self.world.machine.calls[calls_before:], [])

        with self.subTest("a second boot changes nothing"):
            before = sorted(role.containers())
            self.world.host.exec(*role.boot)
            self.assertEqual(sorted(role.containers()), before)
            self.assertEqual(status(ports["vote"], "/ready"), 200)

        with self.subTest("a service that hangs is restarted"):
            worker = role.container("worker")
            started = run("docker", "inspect", "--format={{.State.StartedAt}}", worker)
            run("docker", "kill", "--signal=STOP", worker)
            with self.world.host.watching(role.home):
                until("a restart", lambda: run("docker", "inspect", "--format={{.State.StartedAt}}", worker) != started)
                until("the worker", lambda: status(ports["worker"], "/ready") == 200)

    def test_the_monitoring_machine(self):
        store, queue = Store(self.world), QueueServer(self.world)
        self.addCleanup(store.stop)
        self.addCleanup(queue.stop)
        store.create_roles({role: self.world.secret(f"/voting-app-fleet/secrets/{role}-store-password") for role in ["worker", "result", "monitor"]})
        # The machine's files come from a repository, at a tag. Grafana's and cAdvisor's images are not available here.
        repository = self.world.folder / "repository"
        run("git", "clone", "--quiet", "--depth=1", f"file://{PROJECT}", str(repository))
        for changed in run("git", "-C", str(PROJECT), "ls-files", "--modified", "--others", "--exclude-standard", "infra").split():
            (repository / changed).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / changed, repository / changed)
        git = ["git", "-C", str(repository), "-c", "user.name=test", "-c", "user.email=test@example.org"]
        run(*git, "add", "--all")
        run(*git, "commit", "--quiet", "--allow-empty", "--message=under test")
        run(*git, "tag", "under-test")
        ports = {"prometheus": free_port(), "alertmanager": free_port()}
        variables = {"exporter_ports": {name: free_port() for name in ["node", "redis", "postgres", "cadvisor", "blackbox"]}, "monitoring_grafana": False, "monitoring_containers": False, **{f"{name}_port": port for name, port in ports.items()}}
        role = self.role(
            "monitoring",
            {},
            replace=[
                ("https://repository.example/voting-app.git", f"file://{repository}"),
                ('"environment_name":', f'{json.dumps(variables)[1:-1]},"environment_name":'),
                # Without AWS, addresses are placeholders. The queue has no TLS, because an authority of AWS would have to sign its certificate.
                ("rediss://:6379", f"redis://{queue.address}"),
                (re.search(r'"postgres_address":"([^"/]*/)', user_data()["monitoring"])[1], f"{store.address}/"),
                ("https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem", f"file://{self.world.folder}/authority.pem"),
            ],
        )
        boot = ["env", f"COMPOSE_PROJECT_NAME={role.project}", *role.boot]
        self.world.host.exec(*boot)

        with self.subTest("Prometheus discovers the machines of its environment"):
            until("Prometheus", lambda: status(ports["prometheus"], "/-/ready") == 200)
            self.assertEqual(status(ports["alertmanager"], "/-/ready"), 200)
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['prometheus']}/api/v1/status/config", timeout=TIMEOUT) as response:
                settings = json.load(response)["data"]["yaml"]
            for wanted in ["region: us-east-1", "name: tag:Environment", "- fleet", "environment: fleet", "cluster: us-east-1", "runbooks_url: "]:
                self.assertIn(wanted, settings)

        with self.subTest("Prometheus scrapes queue and store by their exporters, and all else on its machine"):
            def api(path):
                with urllib.request.urlopen(f"http://127.0.0.1:{ports['prometheus']}/api/v1/{path}", timeout=TIMEOUT) as response:
                    return json.load(response)["data"]

            def health():
                return {target["labels"]["job"]: target["health"] for target in api("targets?state=active")["activeTargets"]}

            until("its targets", lambda: health() == dict.fromkeys(["prometheus", "alertmanager", "node", "redis", "postgres", "blackbox", "probe"], "up"))
            for metric in ["redis_up", 'redis_key_size{key="ballots"}', "pg_up", 'pg_stat_database_xact_commit{datname="voting"}']:
                until(metric, lambda: api(f"query?query={urllib.parse.quote(metric)}")["result"])
            self.assertEqual([api(f"query?query={up}")["result"][0]["value"][1] for up in ["redis_up", "pg_up"]], ["1", "1"])

        with self.subTest("only Prometheus and Alertmanager can use the machine's role"):
            networks = run("docker", "inspect", "--format={{.HostConfig.NetworkMode}} {{index .Config.Labels \"com.docker.compose.service\"}}", *role.containers()).splitlines()
            self.assertEqual({line.split()[1] for line in networks if line.startswith("host ")}, {"prometheus", "alertmanager"})
            self.assertEqual(len(networks), 6)

        with self.subTest("Grafana's password is that of the parameter store, and not in the user data"):
            password = self.world.secrets["/voting-app-fleet/secrets/grafana-admin-password"]
            self.assertEqual(self.world.host.exec("cat", f"{role.home}/secrets/grafana/admin-password"), password)
            self.assertNotIn(password, role.script)

        with self.subTest("alerts go to the topic, or to receivers that an operator sets"):
            def configuration():
                return run("docker", "exec", role.container("alertmanager"), "cat", "/tmp/alertmanager.yml")

            self.assertEqual(len(re.findall(r"sns_configs:\n +- topic_arn: arn:aws:stub", configuration())), 2)
            self.assertNotIn("url_file", configuration())
            for name, value in {"alert-page-url": "https://pager.example.org/hook", "alert-page-pagerduty-key": "0123456789abcdef"}.items():
                self.world.moto.client("ssm").put_parameter(Name=f"/voting-app-fleet/secrets/{name}", Type="SecureString", Value=value, Overwrite=True)
            self.world.host.exec(*boot)
            self.assertIn("page-url", configuration())
            self.assertIn("page-pagerduty-key", configuration())
            self.assertEqual(len(re.findall("sns_configs", configuration())), 1)

        with self.subTest("a second boot changes nothing"):
            before = sorted(role.containers())
            self.world.host.exec(*boot)
            self.assertEqual(sorted(role.containers()), before)

    def test_groups_of_machines(self):
        store, queue = Store(self.world), QueueServer(self.world)
        self.addCleanup(store.stop)
        self.addCleanup(queue.stop)
        # Without AWS, addresses are placeholders. The queue has no TLS, because an authority of AWS would have to sign its certificate.
        invented = re.search(r"@([^@/:]*):5432/", user_data()["worker"])[1]
        of_front = [
            ("@:6379", f"@{queue.address}"),
            ("rediss://", "redis://"),
            (f"@{invented}:5432/", f"@{store.address}/"),
            ("https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem", f"file://{self.world.folder}/authority.pem"),
        ]
        of_worker = [
            *of_front,
            ("db/admin-password  {}", f"db/admin-password {store.secret} {{}}"),
            (f"STORE_HOST={invented}", f"STORE_HOST={store.host}"),
            ("STORE_PORT=5432", f"STORE_PORT={store.port}"),
        ]
        ports = {service: free_port() for service in SERVICES}

        worker = self.role("worker", {"worker": ports["worker"]}, replace=of_worker)
        self.world.host.exec(*worker.boot)
        self.assertEqual(status(ports["worker"], "/ready"), 200)

        with self.subTest("the worker's machine has created a role that reads metrics but no votes"):
            monitor = self.world.secrets["/voting-app-fleet/secrets/monitor-store-password"]
            self.assertRegex(store.query("monitor", monitor, "SELECT count(*) FROM pg_stat_activity WHERE query <> '<insufficient privilege>'"), "[1-9]")
            self.assertIn("permission denied", store.query("monitor", monitor, "SELECT * FROM votes"))

        managed = {f"{service}_management": free_port() for service in ["vote", "result"]}
        front = self.role("front", {"vote": ports["vote"], "result": ports["result"], **managed}, replace=of_front)
        self.world.host.exec(*front.boot)
        self.assertEqual(status(ports["vote"], "/ready"), 200)
        self.assertEqual(status(ports["result"], "/ready"), 200)
        self.assert_counts_a_vote(ports["vote"], ports["result"])

        with self.subTest("machines enter service when they are ready"):
            for group in ["voting-app-fleet-worker", "voting-app-fleet-front-blue"]:
                self.world.machine.wait_for(Action="CompleteLifecycleAction", AutoScalingGroupName=group, LifecycleHookName="ready", LifecycleActionResult="CONTINUE")

        with self.subTest("the front has no secret of the worker"):
            kept = self.world.host.exec("grep", "--recursive", "--no-filename", "", f"{front.home}/secrets", f"{front.home}/.env")
            self.assertIn(self.world.secrets["/voting-app-fleet/secrets/cookie-key"], kept)
            for other in ["worker-store-password", "monitor-store-password", "monitor-queue-password"]:
                self.assertNotIn(self.world.secrets[f"/voting-app-fleet/secrets/{other}"], kept)
            self.assertNotIn(store.password, kept)

        with self.subTest("the worker's machine reports the backlog, and is replaced when the worker hangs"):
            cloudwatch = self.world.moto.client("cloudwatch")

            def is_reported():
                return "OldestBallotAge" in [metric["MetricName"] for metric in cloudwatch.list_metrics(Namespace="VotingApp")["Metrics"]]

            with self.world.host.watching(worker.home, f"WORKER_PORT={ports['worker']}"):
                until("the backlog", is_reported)
                run("docker", "kill", "--signal=STOP", worker.container("worker"))
                self.world.machine.wait_for(Action="SetInstanceHealth", HealthStatus="Unhealthy", InstanceId="i-0123456789abcdef0")
            run("docker", "kill", "--signal=CONT", worker.container("worker"))

        with self.subTest("a machine drains before it is terminated"):
            self.world.machine.metadata["autoscaling/target-lifecycle-state"] = "Terminated"
            with self.world.host.watching(front.home):
                until("the drain", lambda: status(ports["vote"], "/ready") == 503)
                self.assertEqual(status(ports["vote"], "/"), 200, "it must continue to serve during the drain")
                self.world.machine.wait_for(
                    Action="CompleteLifecycleAction", AutoScalingGroupName="voting-app-fleet-front-blue", LifecycleHookName="drained", LifecycleActionResult="CONTINUE"
                )
            self.assertEqual(front.containers(), [])


def engine_address():
    """The address of this machine for containers."""
    network = ipaddress.ip_network(run("docker", "network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Subnet}}"))
    return str(next(network.hosts()))


class Store:
    """A Postgres server like that of RDS: TLS only, and an administrator who may create roles but is no superuser."""

    def __init__(self, world):
        self.host, self.port = engine_address(), free_port()
        self.address = f"{self.host}:{self.port}"
        self.password = secrets.token_hex(16)
        self.secret = world.moto.client("secretsmanager").create_secret(
            Name=f"rds-{self.port}", SecretString=json.dumps({"username": "voting_admin", "password": self.password})
        )["ARN"]
        self.folder = folder = world.folder
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", f"{folder}/authority.key", "-out", f"{folder}/authority.pem")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=store", "-keyout", f"{folder}/store.key", "-out", f"{folder}/store.csr")
        (folder / "store.ext").write_text(f"subjectAltName=IP:{self.host}\n")
        run("openssl", "x509", "-req", "-days", "2", "-in", f"{folder}/store.csr", "-CA", f"{folder}/authority.pem", "-CAkey", f"{folder}/authority.key", "-CAcreateserial", "-extfile", f"{folder}/store.ext", "-out", f"{folder}/store.pem")
        self.name = f"voting-app-store-{secrets.token_hex(4)}"
        start = (
            "install -o postgres -m 600 /tls/store.key /tls/store.pem /var/lib/postgresql/ && "
            "exec docker-entrypoint.sh postgres -c ssl=on -c ssl_cert_file=/var/lib/postgresql/store.pem -c ssl_key_file=/var/lib/postgresql/store.key"
        )
        run("docker", "run", "--detach", "--rm", "--name", self.name, f"--publish={self.port}:5432", f"--volume={folder}:/tls:ro", "--env=POSTGRES_PASSWORD=superuser", "--entrypoint=sh", "postgres:18", "-c", start)
        until("the store", lambda: subprocess.run(["docker", "exec", self.name, "pg_isready", "--host=127.0.0.1"], capture_output=True).returncode == 0)
        # The administrator may grant the role pg_monitor, as on RDS.
        for statement in [f"CREATE ROLE voting_admin LOGIN CREATEROLE CREATEDB PASSWORD '{self.password}'", "GRANT pg_monitor TO voting_admin WITH ADMIN OPTION", "CREATE DATABASE voting OWNER voting_admin"]:
            run("docker", "exec", self.name, "psql", "--host=127.0.0.1", "--username=postgres", "--command", statement, "postgresql://postgres:superuser@127.0.0.1/postgres")

    def query(self, role, password, statement):
        """The output of a statement, or its error."""
        done = subprocess.run(["docker", "exec", self.name, "psql", "--tuples-only", "--command", statement, f"postgresql://{role}:{password}@127.0.0.1/voting"], text=True, capture_output=True)
        return done.stdout + done.stderr

    def create_roles(self, passwords):
        """Creates the roles in the same way as a worker's machine."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        for role, password in passwords.items():
            (folder / f"{role}-password").write_text(password)
        administrator = f"postgresql://voting_admin:{self.password}@{self.address}/voting"
        run("docker", "run", "--rm", f"--volume={PROJECT}/infra/compose/roles.sql:/roles.sql:ro", f"--volume={folder}:/run/secrets/db:ro", "--entrypoint=psql", "postgres:18", "--no-psqlrc", "--quiet", "--file=/roles.sql", administrator)

    def stop(self):
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True)


class QueueServer:
    """A cluster of one Redis node, like MemoryDB's, with the users and permissions of the module data."""

    def __init__(self, world):
        port = free_port()
        self.address = f"{engine_address()}:{port}"
        self.name = f"voting-app-queue-{secrets.token_hex(4)}"
        run("docker", "run", "--detach", "--rm", "--name", self.name, f"--publish={port}:6379", "redis:8.2", "redis-server", "--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no", "--cluster-enabled", "yes")
        until("the queue", lambda: subprocess.run(["docker", "exec", self.name, "redis-cli", "ping"], capture_output=True).returncode == 0)
        for user, permissions in re.findall(r'(?m)^    (vote|worker|monitor)\s*= "(on .*)"$', (TERRAFORM / "modules/data/queue.tf").read_text()):
            password = world.secret(f"/voting-app-fleet/secrets/{user}-queue-password")
            run("docker", "exec", self.name, "redis-cli", "ACL", "SETUSER", f"voting-app-fleet-{user}", *permissions.split(), f">{password}")
        run("docker", "exec", self.name, "redis-cli", "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        run("docker", "exec", self.name, "redis-cli", "ACL", "SETUSER", "default", "off")

    def stop(self):
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True)


if __name__ == "__main__":
    unittest.main()
