"""All references in the objects resolve: ConfigMaps, Secrets and their keys, volumes, ports, and targets of selectors."""

import functools
import unittest

import yaml
from manifests import (
    KUBERNETES, PROJECT, SERVICES, VARIANTS, config_map, containers, labels, main_container, matches, objects, of_kind, pod, secret_objects, workloads,
)  # fmt: skip

# ConfigMaps that every cluster has in every namespace.
GIVEN_CONFIG_MAPS = {"kube-root-ca.crt": {"ca.crt"}}


def config_keys(variant):
    return GIVEN_CONFIG_MAPS | {name: one["data"].keys() for name, one in of_kind(variant, "ConfigMap").items()}


def secret_keys():
    return {name: keys.keys() for name, keys in secret_objects().items()}


def sources(volume):
    """Yields (kind, name, keys) of the ConfigMaps and Secrets of a volume."""
    for part in volume.get("projected", {}).get("sources", [volume]):
        if "configMap" in part:
            yield "ConfigMap", part["configMap"]["name"], [item["key"] for item in part["configMap"].get("items", [])]
        if "secret" in part:
            name = part["secret"].get("secretName") or part["secret"]["name"]
            yield "Secret", name, [item["key"] for item in part["secret"].get("items", [])]


def for_each_workload(test):
    """Runs a test for every workload of every variant."""

    @functools.wraps(test)
    def for_all(self):
        for variant in VARIANTS:
            for name, workload in workloads(variant).items():
                with self.subTest(f"{variant}: {name}"):
                    test(self, variant, name, workload)

    return for_all


class References(unittest.TestCase):
    @for_each_workload
    def test_configuration_and_secrets_exist(self, variant, name, workload):
        known = {"ConfigMap": config_keys(variant), "Secret": secret_keys()}
        for volume in pod(workload).get("volumes", []):
            for kind, source, keys in sources(volume):
                self.assertIn(source, known[kind], f"this {kind} does not exist")
                self.assertLessEqual(set(keys), set(known[kind][source]), source)
        for container in containers(workload):
            for reference in container.get("envFrom", []):
                self.assertIn(reference["configMapRef"]["name"], known["ConfigMap"])
            for variable in container.get("env", []):
                for kind, key in [("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")]:
                    if reference := variable.get("valueFrom", {}).get(key):
                        self.assertIn(reference["key"], known[kind][reference["name"]])

    def test_every_config_map_is_used(self):
        for variant in VARIANTS:
            used = {name for workload in workloads(variant).values() for volume in pod(workload).get("volumes", []) for _, name, _ in sources(volume)}
            of_containers = [container for workload in workloads(variant).values() for container in containers(workload)]
            used |= {one["configMapRef"]["name"] for container in of_containers for one in container.get("envFrom", [])}
            used |= {one["valueFrom"]["configMapKeyRef"]["name"] for container in of_containers for one in container.get("env", []) if "valueFrom" in one}
            self.assertEqual(of_kind(variant, "ConfigMap").keys() - used, set(), variant)

    @for_each_workload
    def test_a_service_has_only_its_own_secret(self, variant, name, workload):
        if workload["kind"] != "Job":
            named = [source for volume in pod(workload)["volumes"] for kind, source, _ in sources(volume) if kind == "Secret"]
            self.assertEqual(named, [name])
            paths = [mount["mountPath"] for mount in main_container(workload)["volumeMounts"] if mount["name"] == "secrets"]
            self.assertEqual(paths, [f"/run/secrets/{name}"])

    @for_each_workload
    def test_files_in_variables_are_mounted(self, variant, name, workload):
        for variable in main_container(workload).get("env", []):
            if variable["name"].endswith("_FILE"):
                folder, key = variable["value"].rsplit("/", 1)
                self.assertEqual(folder, f"/run/secrets/{name}")
                self.assertIn(key, secret_keys()[name])

    @for_each_workload
    def test_every_mounted_volume_exists_and_every_volume_is_mounted(self, variant, name, workload):
        volumes = {volume["name"] for volume in pod(workload).get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for container in containers(workload) for mount in container.get("volumeMounts", [])}
        self.assertEqual(volumes, mounted)

    def test_selectors_select_the_workload_with_their_name(self):
        for variant in VARIANTS:
            pods = {name: labels(workload) for name, workload in workloads(variant).items()}
            for name, service in of_kind(variant, "Service").items():
                self.assertEqual([one for one in pods if matches({"matchLabels": service["spec"]["selector"]}, pods[one])], [name])
            for name, budget in of_kind(variant, "PodDisruptionBudget").items():
                self.assertEqual([one for one in pods if matches(budget["spec"]["selector"], pods[one])], [name])
            for name, workload in of_kind(variant, "Deployment", "StatefulSet").items():
                self.assertEqual([one for one in pods if matches(workload["spec"]["selector"], pods[one])], [name])
                for constraint in pod(workload).get("topologySpreadConstraints", []):
                    self.assertEqual([one for one in pods if matches(constraint["labelSelector"], pods[one])], [name])
            for name, scaler in (of_kind(variant, "HorizontalPodAutoscaler", "ScaledObject")).items():
                target = scaler["spec"]["scaleTargetRef"]
                self.assertEqual((target["kind"], target["name"]), ("Deployment", name))
                self.assertNotIn("replicas", objects(variant)["Deployment", name]["spec"], f"{name}: each `kubectl apply` would undo the scaling")

    @for_each_workload
    def test_probes_and_services_use_ports_of_their_container(self, variant, name, workload):
        named = {port["name"]: port["containerPort"] for port in main_container(workload).get("ports", [])}
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
            if request := main_container(workload).get(probe, {}).get("httpGet"):
                self.assertIn(request["port"], named)
        if service := objects(variant).get(("Service", name)):
            for port in service["spec"]["ports"]:
                self.assertEqual(named[port["targetPort"]], port["port"], "the Service must have the port of the container")
        for monitor in of_kind(variant, "PodMonitor").values():
            if matches(monitor["spec"]["selector"], labels(workload)):
                self.assertLessEqual({endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}, named.keys())

    def test_routes_lead_to_services(self):
        for variant in VARIANTS:
            known = {(name, port) for name, service in of_kind(variant, "Service").items() for one in service["spec"]["ports"] for port in [one["name"], one["port"]]}
            for ingress in of_kind(variant, "Ingress").values():
                for rule in ingress["spec"]["rules"]:
                    for path in rule["http"]["paths"]:
                        backend = path["backend"]["service"]
                        self.assertIn((backend["name"], backend["port"]["name"]), known)
                hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
                self.assertEqual({host for tls in ingress["spec"]["tls"] for host in tls["hosts"]}, hosts)
            for route in of_kind(variant, "HTTPRoute").values():
                for rule in route["spec"]["rules"]:
                    for backend in rule["backendRefs"]:
                        self.assertIn((backend["name"], backend["port"]), known)
                for parent in route["spec"]["parentRefs"]:
                    self.assertIn(("Gateway", parent["name"]), objects(variant))

    def test_services_below_a_path_have_it_as_base_path(self):
        variant = "production with paths, monitoring and KEDA"
        settings = config_map(variant, "settings")["data"]
        paths = {path["backend"]["service"]["name"]: path["path"] for path in of_kind(variant, "Ingress")["voting-app"]["spec"]["rules"][0]["http"]["paths"]}
        self.assertEqual(paths, {"vote": settings["VOTE_BASE_PATH"], "result": settings["RESULT_BASE_PATH"]})

    def test_the_live_result_has_no_timeout(self):
        source = "".join(file.read_text() for file in (PROJECT / "result/src").rglob("*.rs"))
        self.assertIn('path = "/events"', source)
        self.assertIn('"x-accel-buffering"', source)
        route = of_kind("production with the Gateway API", "HTTPRoute")["result"]
        rules = {rule["matches"][0]["path"]["value"]: rule.get("timeouts") for rule in route["spec"]["rules"]}
        self.assertEqual(rules["/events"], {"request": "0s", "backendRequest": "0s"})

    def test_the_job_may_write_exactly_the_secrets_that_it_creates(self):
        rules = of_kind("local", "Role")["secrets"]["rules"]
        self.assertEqual([(rule["resources"], set(rule["resourceNames"])) for rule in rules], [(["secrets"], set(secret_objects()))])
        self.assertEqual(next(iter(secret_objects())), "passwords", "the passwords must be applied first")

    def test_docs_configuration_lists_every_setting(self):
        configuration = (PROJECT / "docs/configuration.md").read_text()
        for file in KUBERNETES.glob("*/**/settings.env"):
            for line in file.read_text().splitlines():
                name, is_set, _ = line.lstrip("#").partition("=")
                if is_set and name.isupper():
                    self.assertRegex(configuration, rf"\| `{name}` \|", f"{file}: docs/configuration.md has no such setting")

    def test_names_and_ports_are_those_of_the_original(self):
        """Source: https://github.com/dockersamples/example-voting-app/tree/main/k8s-specifications"""
        self.assertLessEqual({"vote", "result", "worker", "redis", "db"}, workloads("local").keys())
        services = of_kind("local", "Service")
        self.assertEqual(services.keys(), {"vote", "result", "redis", "db"})
        ports = {name: [(port["port"], port.get("nodePort")) for port in service["spec"]["ports"]] for name, service in services.items()}
        self.assertEqual(ports, {"vote": [(8080, 31000)], "result": [(8081, 31001)], "redis": [(6379, None)], "db": [(5432, None)]})
        kind = yaml.safe_load((KUBERNETES / "kind.yaml").read_text())
        mapped = {(port["containerPort"], port["hostPort"]) for node in kind["nodes"] for port in node["extraPortMappings"]}
        self.assertEqual(mapped, {(31000, 31000), (31001, 31001)})
        for name in ["vote", "result", "worker", "redis", "db"]:
            self.assertEqual(labels(workloads("local")[name])["app"], name)

    def test_replicas_stay_below_the_connection_limit_of_their_role(self):
        roles = (PROJECT / "infra/compose/roles.sql").read_text()
        connections = 4
        self.assertIn(f"| `STORE_MAX_CONNECTIONS` | `{connections}` |", (PROJECT / "docs/configuration.md").read_text())
        variant = "production with paths, monitoring and KEDA"
        max_replicas = {
            "result": of_kind(variant, "HorizontalPodAutoscaler")["result"]["spec"]["maxReplicas"],
            "worker": of_kind(variant, "ScaledObject")["worker"]["spec"]["maxReplicaCount"],
        }
        for name, replicas in max_replicas.items():
            limit = int(roles.split(f"ALTER ROLE {name} ")[1].split("CONNECTION LIMIT ")[1].split(";")[0])
            self.assertLessEqual((replicas + 1) * connections, limit, name)

    def test_rules_are_those_of_the_rule_files(self):
        variant = "production with paths, monitoring and KEDA"
        groups = of_kind(variant, "PrometheusRule")["voting-app"]["spec"]["groups"]
        names = [group["name"] for group in groups]
        self.assertEqual(len(set(names)), len(names), "the operator needs unique names")
        files = PROJECT / "infra/monitoring/prometheus/rules"
        all_groups = {group["name"]: group for file in files.glob("*.yml") for group in yaml.safe_load(file.read_text())["groups"]}
        for group in groups:
            self.assertEqual(group, all_groups[group["name"]])


if __name__ == "__main__":
    unittest.main()
