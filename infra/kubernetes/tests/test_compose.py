"""Kubernetes and the compose stack have the same images, commands, ports, settings, probes, limits and rights."""

import functools
import json
import os
import re
import shlex
import subprocess
import unittest

from manifests import PROJECT, SERVICES, config_map, containers, labels, main_container, objects, pod, secret_objects, workloads

SERVERS = ["redis", "db"]
EXPORTERS = ["redis-exporter", "postgres-exporter"]
SECONDS = {"ms": 0.001, "s": 1, "m": 60}


@functools.cache
def compose(*profiles):
    """Returns the services of the compose stack as compose parses them without any setting."""
    command = ["docker", "compose", "--env-file=/dev/null", "--file=docker-compose.yml", *(f"--profile={profile}" for profile in profiles), "config", "--format=json"]
    done = subprocess.run(command, cwd=PROJECT, env={name: os.environ[name] for name in ["PATH", "HOME"]}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def seconds(duration):
    """Converts a duration such as 1m30s to seconds."""
    parts = re.findall(r"(\d+)(ms|s|m)", duration)
    assert parts and "".join(number + unit for number, unit in parts) == duration, duration
    return sum(int(number) * SECONDS[unit] for number, unit in parts)


def mebibytes(quantity):
    assert quantity.endswith("Mi"), f"{quantity} is not in Mi"
    return int(quantity.removesuffix("Mi"))


def environment(name):
    """Returns the environment of a service's container: its own variables and the settings."""
    own = {variable["name"]: variable["value"] for variable in main_container(workloads("local")[name]).get("env", [])}
    return config_map("local", "settings")["data"] | own


def service_of(name, container):
    """Returns the compose service that corresponds to a container of a workload."""
    return compose().get(container["name"]) or compose()[name]


class Equality(unittest.TestCase):
    def test_every_compose_service_has_a_container(self):
        before = {container["name"] for container in pod(workloads("local")["db"])["initContainers"]}
        self.assertEqual(workloads("local").keys() | before, compose().keys())

    def test_images_are_those_of_compose(self):
        for name, workload in workloads("local").items():
            with self.subTest(name):
                images = {container["image"] for container in containers(workload)}
                self.assertEqual({image for image in images if "kubectl" not in image}, {compose()[name]["image"]})
        released = (PROJECT / ".github/workflows/release.yml").read_text()
        self.assertIn("image=ghcr.io/${GITHUB_REPOSITORY,,}/$SERVICE", released)
        version = re.search(r'(?m)^version = "(.+)"', (PROJECT / "Cargo.toml").read_text())[1]
        for name in SERVICES:
            self.assertEqual(main_container(workloads("production")[name])["image"], f"ghcr.io/example/voting-app/{name}:{version}")

    def test_commands_of_the_servers_are_those_of_compose(self):
        for name in SERVERS:
            with self.subTest(name):
                command = compose()[name]["command"]
                self.assertEqual(main_container(workloads("local")[name])["args"], command if isinstance(command, list) else shlex.split(command))

    def test_ports_are_those_of_compose_and_the_dockerfile(self):
        exposed = {name: int(port) for name, port in re.findall(r"(?s)FROM runtime AS (\w+)\n.*?EXPOSE (\d+)", (PROJECT / "Dockerfile").read_text())}
        for name in SERVICES:
            with self.subTest(name):
                ports = {port["name"]: port["containerPort"] for port in main_container(workloads("local")[name])["ports"]}
                managed = compose()[name]["environment"].get("MANAGEMENT_LISTEN_ADDR")
                self.assertEqual(ports["management"], int(managed.rsplit(":", 1)[1]) if managed else exposed[name])
                self.assertEqual(ports.get("http", ports["management"]), exposed[name])
                for published in compose()[name].get("ports", []):
                    self.assertEqual(objects("local")["Service", name]["spec"]["ports"][0]["port"], published["target"])

    def test_variables_are_those_of_compose(self):
        for name in [*SERVICES, *SERVERS]:
            with self.subTest(name):
                # An empty variable counts as not set.
                in_compose = {key: value for key, value in (compose()[name].get("environment") or {}).items() if value}
                here = environment(name) if name in SERVICES else {one["name"]: one["value"] for one in main_container(workloads("local")[name]).get("env", [])}
                # The URLs of the pages differ, the drain is longer here, and the sampler is the default of the services.
                for key in ["VOTE_URL", "RESULT_URL", "DRAIN_DELAY", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"]:
                    in_compose.pop(key, None)
                    here.pop(key, None)
                self.assertEqual(here, in_compose)

    def test_probes_are_those_of_compose(self):
        source = (PROJECT / "shared/web/src/probes/mod.rs").read_text()
        for path in ["/health", "/ready"]:
            self.assertIn(f'path = "{path}"', source)
        for name in SERVICES:
            with self.subTest(name):
                container = main_container(workloads("local")[name])
                self.assertEqual(compose()[name]["healthcheck"]["test"], ["CMD", name, "healthcheck", "--ready"])
                paths = {probe: container[probe]["httpGet"]["path"] for probe in ["startupProbe", "livenessProbe", "readinessProbe"]}
                self.assertEqual(paths, {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"})
        for name in SERVERS:
            with self.subTest(name):
                container = main_container(workloads("local")[name])
                for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
                    self.assertEqual(["CMD", *container[probe]["exec"]["command"]], compose()[name]["healthcheck"]["test"])
        for name in [*SERVICES, *SERVERS]:
            with self.subTest(name):
                check, container = compose()[name]["healthcheck"], main_container(workloads("local")[name])
                self.assertEqual(container["readinessProbe"]["periodSeconds"], seconds(check["interval"]))
                self.assertEqual(container["readinessProbe"]["timeoutSeconds"], seconds(check["timeout"]))
                starts = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
                self.assertGreaterEqual(starts, seconds(check.get("start_period", "0s")))

    def test_memory_limits_are_those_of_compose(self):
        for name, workload in workloads("local").items():
            with self.subTest(name):
                for container in containers(workload):
                    if "kubectl" not in container["image"]:
                        limit = mebibytes(container["resources"]["limits"]["memory"]) << 20
                        self.assertEqual(limit, int(service_of(name, container)["mem_limit"]), container["name"])
        memory = {volume["name"]: volume for volume in pod(workloads("local")["db"])["volumes"]}["memory"]
        self.assertEqual(mebibytes(memory["emptyDir"]["sizeLimit"]) << 20, int(compose()["db"]["shm_size"]))

    def test_termination_grace_periods_are_longer_than_drains(self):
        drain = seconds(environment("vote")["DRAIN_DELAY"])
        shutdown = seconds(re.search(r"\| `SHUTDOWN_TIMEOUT` \| `(\w+)` \|", (PROJECT / "docs/configuration.md").read_text())[1])
        for name in SERVICES:
            spec = pod(workloads("local")[name])
            self.assertGreater(spec["terminationGracePeriodSeconds"], drain + shutdown, name)
            probe = main_container(workloads("local")[name])["readinessProbe"]
            self.assertGreater(drain, probe["periodSeconds"] * probe["failureThreshold"], f"{name}: load balancers must notice within the drain")
        for name in SERVERS:
            self.assertEqual(pod(workloads("local")[name])["terminationGracePeriodSeconds"], seconds(compose()[name]["stop_grace_period"]))

    def test_rights_are_those_of_compose_or_stricter(self):
        """A read-only root file system, no capabilities, and no privilege escalation."""
        for name, workload in workloads("local").items():
            for container in containers(workload):
                with self.subTest(f"{name}: {container['name']}"):
                    there, here = service_of(name, container), container["securityContext"]
                    self.assertEqual(here["readOnlyRootFilesystem"], there["read_only"])
                    self.assertEqual(here["capabilities"], {"drop": there["cap_drop"]})
                    self.assertIn("no-new-privileges:true", there["security_opt"])
                    self.assertFalse(here["allowPrivilegeEscalation"])
        user = re.search(r"(?m)^USER (\d+):(\d+)$", (PROJECT / "Dockerfile").read_text())
        for name in SERVICES:
            context = pod(workloads("local")[name])["securityContext"]
            self.assertEqual((context["runAsUser"], context["runAsGroup"]), (int(user[1]), int(user[2])))

    def test_exporters_are_those_of_compose(self):
        for name in EXPORTERS:
            with self.subTest(name):
                there, here = compose("monitoring")[name], main_container(workloads("local with monitoring")[name])
                self.assertEqual(here["image"], there["image"])
                self.assertEqual({one["name"]: one["value"] for one in here["env"]}, there["environment"])
                self.assertEqual(mebibytes(here["resources"]["limits"]["memory"]) << 20, int(there["mem_limit"]))
                self.assertIn(f"/run/secrets/{name}", [volume["target"] for volume in there["volumes"]])

    def test_secrets_are_mounted_where_compose_mounts_them(self):
        for name in [*SERVICES, *SERVERS]:
            with self.subTest(name):
                folder = next(volume["target"] for volume in compose()[name]["volumes"] if volume["source"].startswith("secrets-"))
                self.assertIn(folder, [mount["mountPath"] for mount in main_container(workloads("local")[name])["volumeMounts"]])
        script = (PROJECT / "infra/compose/make-secrets").read_text()
        made = set(re.findall(r"\bput ([a-z-]+/[a-z.-]+)", script)) - {"passwords/version"}
        kept = set(re.findall(r"passwords/[a-z][a-z-]*", script)) | {f"passwords/{name}" for name in re.findall(r"\$\(password ([a-z-]+)", script)}
        # Secrets of services that Kubernetes does not run.
        elsewhere = {file for file in made if file.split("/")[0] in {"alertmanager", "grafana"}}
        self.assertEqual({file for keys in secret_objects().values() for file in keys.values()}, made - elsewhere | kept)


if __name__ == "__main__":
    unittest.main()
