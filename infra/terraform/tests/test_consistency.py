"""Checks that Terraform, the compose stack, the images and the services agree on ports, probes, images and permissions."""

import fnmatch
import functools
import json
import re
import subprocess
import tomllib
import unittest

import yaml
from environments import PROJECT, TERRAFORM, plan, resources

SERVICES = ["vote", "result", "worker"]


def text(path):
    return (PROJECT / path).read_text()


def only(pattern, path):
    """The only match of a pattern in a file."""
    found = re.findall(pattern, text(path), re.MULTILINE)
    assert len(found) == 1, f"{pattern} matches {len(found)} times in {path}"
    return found[0]


@functools.cache
def compose(*overrides):
    """The services of the compose stack as compose resolves them."""
    # On AWS without the include of monitoring, as in user_data.tf.
    stack = re.sub(r"(?m)^include: .*$", "", text("docker-compose.yml")) if overrides else text("docker-compose.yml")
    files = ["--file=-", *(f"--file={TERRAFORM}/modules/compute/files/{name}" for name in overrides)]
    command = ["docker", "compose", "--env-file=/dev/null", "--profile=*", f"--project-directory={PROJECT}", *files, "config", "--format=json"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "DRAIN_SECONDS": "35", "STOP_SECONDS": "50"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, input=stack, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


def values(plan_of_environment, kind):
    return [entry for address, entry in resources(plan_of_environment).items() if re.search(rf"(^|\.){kind}\.", address)]


def ports_of_stack():
    block = re.search(r"(?s)  ports = \{\n(.*?)\n  \}", text("infra/terraform/modules/stack/main.tf"))[1]
    return {name: int(port) for name, port in re.findall(r"(\w+) += (\d+)", block)}


class Ports(unittest.TestCase):
    def test_services_images_compose_and_terraform_have_the_same_ports(self):
        images = re.findall(r"(?s)FROM runtime AS (\w+)\n.*?EXPOSE (\d+)", text("Dockerfile"))
        exposed = {service: int(port) for service, port in images}
        for service in SERVICES:
            with self.subTest(service):
                in_code = int(only(r"DEFAULT_PORT: u16 = (\d+)", f"{service}/src/lib.rs"))
                published = {port["target"] for port in compose("everything.yml")[service]["ports"]}
                managed = ports_of_stack().get(f"{service}_management")
                self.assertEqual({in_code, exposed[service], ports_of_stack()[service], *published - {managed}}, {in_code})

    def test_prometheus_scrapes_the_management_ports_of_services(self):
        for service in SERVICES:
            with self.subTest(service):
                port = ports_of_stack().get(f"{service}_management", ports_of_stack()[service])
                listens = compose()[service]["environment"].get("MANAGEMENT_LISTEN_ADDR", f"[::]:{port}")
                self.assertEqual(listens, f"[::]:{port}")
                self.assertEqual(int(only(rf"names: \[{service}\], type: A, port: (\d+)", "infra/monitoring/prometheus/prometheus.yml")), port)
                on_aws = only(rf"(?s)job_name: {service}\n.*?port: (\d+)", "infra/monitoring/prometheus/prometheus-ec2.yml")
                self.assertEqual(int(on_aws), port)
                self.assertNotIn(port, [entry["target"] for entry in compose()[service].get("ports", [])], "a laptop must not publish it")
                for files in ["everything.yml", "fleet.yml"]:
                    self.assertIn(port, [entry["target"] for entry in compose(files)[service]["ports"]], files)

    def test_prometheus_scrapes_the_ports_that_machines_publish_for_exporters(self):
        ports = ports_of_stack()
        ec2 = text("infra/monitoring/prometheus/prometheus-ec2.yml")
        for exporter, job, everywhere in [("redis-exporter", "redis", False), ("postgres-exporter", "postgres", False), ("cadvisor", "cadvisor", True)]:
            with self.subTest(exporter):
                port = ports[exporter.replace("-", "_")]
                self.assertEqual(re.findall(rf"job_name: {job}\n.*?port: (\d+)", ec2), [str(port)])
                for files in ["everything.yml", *(["fleet.yml"] if everywhere else [])]:
                    published = compose(files)[exporter]["ports"]
                    self.assertEqual([entry["published"] for entry in published], [str(port)], files)
                    listens = only(rf"names: \[{exporter}\], type: A, port: (\d+)", "infra/monitoring/prometheus/prometheus-hosts.yml")
                    self.assertEqual([entry["target"] for entry in published], [int(listens)], files)
                self.assertNotIn("ports", compose()[exporter], "a laptop must not publish it")

    def test_machines_run_the_exporters_that_prometheus_scrapes(self):
        roles = re.search(r"(?s)  exporters = \{\n(.*?)\n  \}\[", text("infra/terraform/modules/compute/user_data.tf"))[1]
        run = {role: set(re.findall(r'"([\w-]+)"', names)) for role, names in re.findall(r"(\w+) += \[(.*)\]", roles)}
        self.assertEqual(run, {"front": {"cadvisor"}, "worker": {"cadvisor"}, "everything": {"cadvisor", "redis-exporter", "postgres-exporter"}, "monitoring": set()})
        self.assertLessEqual(run["everything"], compose("everything.yml").keys())
        self.assertLessEqual(run["front"] | run["worker"], compose("fleet.yml").keys())

    def test_queue_and_store_have_the_ports_that_services_use(self):
        ports = ports_of_stack()
        self.assertEqual({int(port) for port in re.findall(r"redis:(\d{4,5})", text("infra/compose/make-secrets"))}, {ports["queue"]})
        fleet = plan("staging")
        for kind in ["aws_memorydb_cluster", "aws_db_instance"]:
            self.assertEqual([entry["port"] for entry in values(fleet, kind)], [ports["queue" if "memorydb" in kind else "database"]])
        # Compose uses the default port of Postgres.
        self.assertEqual(ports["database"], 5432)

    def test_every_rule_is_for_a_port_in_use(self):
        opened = {entry["from_port"] for entry in values(plan("dev", enable_alb=True, admin_cidrs=["203.0.113.7/32"]), "aws_vpc_security_group_ingress_rule")}
        self.assertEqual(opened, {80, 443, *ports_of_stack().values()})

    def test_targets_have_the_ports_of_services(self):
        for environment, variables in {"dev": {"enable_alb": True}, "staging": {}, "prod": {}}.items():
            with self.subTest(environment):
                targets = {entry["name"]: entry["port"] for entry in values(plan(environment, **variables), "aws_lb_target_group")}
                self.assertEqual(targets, {f"voting-app-{environment}-{service}-blue": ports_of_stack()[service] for service in ["vote", "result"]})


class Probes(unittest.TestCase):
    def test_health_checks_use_the_readiness_path_of_services(self):
        ready = only(r'path = "(/ready)"[^#]*async fn ready_status', "shared/web/src/probes/mod.rs")
        for environment, variables in {"dev": {"enable_alb": True}, "staging": {}, "prod": {}}.items():
            for entry in values(plan(environment, **variables), "aws_lb_target_group"):
                with self.subTest(entry["name"]):
                    self.assertEqual(entry["health_check"][0]["path"], ready)

    def test_a_drain_is_longer_than_the_detection_by_health_checks(self):
        for entry in values(plan("staging"), "aws_lb_target_group"):
            check = entry["health_check"][0]
            drain = int(only(r"drain_seconds = (\d+)", "infra/terraform/modules/stack/main.tf"))
            self.assertGreater(drain, check["interval"] * check["unhealthy_threshold"])
            self.assertGreater(int(entry["deregistration_delay"]), drain)

    def test_compose_uses_the_services_healthcheck_command(self):
        for service in SERVICES:
            self.assertEqual(compose()[service]["healthcheck"]["test"], ["CMD", service, "healthcheck", "--ready"])

    def test_metrics_are_blocked_at_the_load_balancer(self):
        path = only(r'path = "(/metrics)"', "shared/web/src/probes/mod.rs")
        blocked = [entry for entry in values(plan("prod"), "aws_lb_listener_rule") if entry["action"][0]["type"] == "fixed-response"]
        self.assertIn(path, blocked[0]["condition"][0]["path_pattern"][0]["values"])


class Paths(unittest.TestCase):
    """Routing by path, if both services have one name."""

    def test_every_path_is_routed_to_its_service(self):
        from fnmatch import fnmatchcase

        rules = sorted((entry for entry in values(plan("staging"), "aws_lb_listener_rule") if entry["action"][0]["type"] == "forward"), key=lambda entry: entry["priority"])
        services = [
            change["address"].split('["')[-1].split('"')[0] for change in sorted(
                (change for change in plan("staging")["resource_changes"] if change["type"] == "aws_lb_listener_rule" and change["change"]["after"]["action"][0]["type"] == "forward"),
                key=lambda change: change["change"]["after"]["priority"],
            )
        ]  # fmt: skip

        def route(path):
            for name, rule in zip(services, rules):
                if any(fnmatchcase(path, pattern) for pattern in rule["condition"][0]["path_pattern"][0]["values"]):
                    return name.split("-")[0]
            return None

        for service in ["vote", "result"]:
            source = "".join(file.read_text() for file in (PROJECT / service / "src").rglob("*.rs"))
            described = set(re.findall(r'#\[utoipa::path\(\s*\w+,\s*path = "([^"]+)"', source))
            self.assertTrue(described)
            # The result page is at /result here.
            for path in described - ({"/"} if service == "result" else set()):
                with self.subTest(f"{service} {path}"):
                    self.assertEqual(route(path), service)
        for path in ["/result", "/result/", "/result/events", "/result/static/base.0.css"]:
            self.assertEqual(route(path), "result")


class Images(unittest.TestCase):
    def test_machines_pull_the_images_that_are_built_and_pushed(self):
        built = set(re.findall(r"FROM runtime AS (\w+)", text("Dockerfile")))
        self.assertEqual(built, set(SERVICES))
        for service in SERVICES:
            self.assertEqual(compose()[service]["image"], f"voting-app/{service}:latest")
            self.assertEqual(compose()[service]["build"]["target"], service)
        workflow = text(".github/workflows/release.yml")
        self.assertEqual(set(re.search(r"service: \[(.*?)\]", workflow)[1].split(", ")), built)

    def test_images_are_built_for_the_allowed_architectures(self):
        platforms = set(re.findall(r"linux/(\w+)", text(".github/workflows/release.yml")))
        allowed = set(re.search(r'contains\(\["(\w+)", "(\w+)"\], var.architecture\)', text("infra/terraform/modules/compute/variables.tf")).groups())
        self.assertEqual(platforms, allowed)

    def test_the_example_release_is_the_current_version(self):
        version = tomllib.loads(text("Cargo.toml"))["workspace"]["package"]["version"]
        for environment in ["dev", "staging", "prod"]:
            self.assertIn(f'"{version}"', text(f"infra/terraform/environments/{environment}/terraform.tfvars"))


# Commands that AWS does not allow for users of MemoryDB and ElastiCache. See
# https://docs.aws.amazon.com/memorydb/latest/devguide/restrictedcommands.html
RESTRICTED = set(
    "acl|deluser acl|load acl|save acl|setuser bgrewriteaof bgsave cluster|addslot cluster|addslotsrange cluster|delslot"
    " cluster|delslotsrange cluster|bumpepoch cluster|failover cluster|flushslots cluster|forget cluster|meet cluster|replicate"
    " cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot config debug migrate module psync replicaof save"
    " shutdown slaveof sync".split()
)


def is_restricted(rule):
    """True if a rule of an ACL allows a restricted command, its parent command, or any category."""
    if not rule.startswith("+"):
        return False
    command = rule[1:].lower()
    return command.startswith("@") or any(command == one or command.split("|")[0] == one or one.startswith(f"{command}|") for one in RESTRICTED)


class Permissions(unittest.TestCase):
    def test_the_policy_of_keys_is_declared_once(self):
        files = [file for file in sorted(TERRAFORM.rglob("*.tf")) if '"kms:*"' in file.read_text()]
        self.assertEqual([str(file.relative_to(TERRAFORM)) for file in files], ["modules/key-policy/main.tf"])

    def test_the_boundary_allows_all_actions_of_an_environment_s_roles(self):
        bounded = re.search(r'(?s)resource "aws_iam_policy" "boundary" \{.*?Action = \[(.*?)\]', text("infra/terraform/backend-setup/github.tf"))[1]
        allowed = re.findall(r'"([^"]+)"', bounded)
        files = [*(TERRAFORM / "modules").glob("*/*.tf")]
        used = {action for file in files for action in re.findall(r'"((?:autoscaling|cloudwatch|ec2|ecr|kms|logs|secretsmanager|sns|ssm|ssmmessages):[A-Z][a-z]\w+)"', file.read_text())}
        self.assertGreater(len(used), 20)
        self.assertEqual({action for action in used if not any(fnmatch.fnmatchcase(action, pattern) for pattern in allowed)}, set())

    def test_aws_accepts_every_user_of_the_queue(self):
        for rule in ["+config|get", "+config", "+@all", "+acl", "+cluster|meet", "+SAVE"]:
            self.assertTrue(is_restricted(rule), rule)
        for file in TERRAFORM.rglob("*.tf"):
            strings = re.findall(r'"(on [^"]*[~@+][^"]*)"', file.read_text())
            if file.name == "queue.tf":
                self.assertEqual(len(strings), 3)
            for string in strings:
                self.assertEqual([rule for rule in string.split() if is_restricted(rule)], [], f"{file}: {string}")

    def test_the_queue_s_users_have_the_same_permissions_in_compose_and_terraform(self):
        lines = re.findall(r"(?m)^user (\w+) on #\$\(hash \S+\) (.*)$", text("infra/compose/make-secrets"))
        in_compose = {user: permissions.split() for user, permissions in lines}
        block = re.search(r"(?s)  queue_permissions = \{\n(.*?)\n  \}", text("infra/terraform/modules/data/queue.tf"))[1]
        in_terraform = {user: permissions.split()[1:] for user, permissions in re.findall(r'(\w+) += "([^"]*)"', block)}
        # AWS does not support %R~; monitor has no command that writes.
        in_compose = {user: [rule.replace("%R~", "~") for rule in permissions if not is_restricted(rule)] for user, permissions in in_compose.items()}
        self.assertEqual(in_compose.keys(), {"vote", "worker", "monitor"})
        self.assertEqual(in_terraform, in_compose)


class Workflows(unittest.TestCase):
    def test_only_one_action_runs_terraform_init(self):
        files = [file for file in sorted((PROJECT / ".github").rglob("*.yml")) if "terraform init" in file.read_text()]
        self.assertEqual([str(file.relative_to(PROJECT)) for file in files], [".github/actions/terraform/action.yml"])

    def test_applies_of_an_environment_are_serialized_and_plans_are_not(self):
        jobs = {f"{file.stem} {name}": job for file in sorted((PROJECT / ".github/workflows").glob("*.yml")) for name, job in yaml.safe_load(file.read_text())["jobs"].items()}
        self.assertEqual(jobs["apply apply"]["concurrency"], {"group": "infrastructure-${{ inputs.environment }}", "cancel-in-progress": False})
        for name, job in jobs.items():
            if name != "apply apply":
                with self.subTest(name):
                    self.assertNotRegex(str(job.get("concurrency")), r"infrastructure-\$\{\{")
        # An apply may hold the lock of the state while a database is created.
        plan_of_merge = next(step["run"] for step in jobs["apply plan"]["steps"] if step.get("name") == "plan")
        self.assertIn("-lock-timeout=30m", plan_of_merge)


if __name__ == "__main__":
    unittest.main()
