"""The NetworkPolicies allow exactly the connections that are needed, and none that the networks of compose separate."""

import re
import unittest

from manifests import PROJECT, VARIANTS, labels, of_kind, pod, workloads
from network import allowed_by_clients, allowed_by_servers, allowed_connections, policies_of, public_ports
from test_compose import compose

STORE = {("worker", "db", 5432), ("result", "db", 5432), ("roles", "db", 5432)}
QUEUE = {("vote", "redis", 6379), ("worker", "redis", 6379)}


def needed_connections(variant):
    """Returns (client, server, port) of the connections that are needed. The store of production is outside the cluster."""
    local, monitored = variant.startswith("local"), "monitoring" in variant
    needed = QUEUE | (STORE if local else set())
    needed |= {("redis-exporter", "redis", 6379)} if monitored else set()
    return needed | ({("postgres-exporter", "db", 5432)} if monitored and local else set())


class Policies(unittest.TestCase):
    def test_exactly_the_needed_connections_are_allowed(self):
        for variant in VARIANTS:
            with self.subTest(variant):
                # No pod of the application may connect to the pages, which accept all other clients.
                self.assertEqual(allowed_connections(variant), needed_connections(variant))

    def test_both_ends_allow_the_same_connections(self):
        for variant in VARIANTS:
            with self.subTest(variant):
                self.assertEqual(allowed_by_clients(variant), allowed_connections(variant))
                # The pages accept connections from everywhere.
                pages = public_ports(variant)
                private = {connection for connection in allowed_by_servers(variant) if connection[1:] not in pages}
                self.assertEqual(private, allowed_connections(variant))

    def test_the_allowed_connections_are_those_of_the_urls(self):
        urls = re.findall(r"(redis|postgres)://(\w+):%s@(\w+)", (PROJECT / "infra/compose/make-secrets").read_text())
        self.assertEqual({(user, host) for _, user, host in urls}, {(client, server) for client, server, _ in allowed_connections("local")} - {("roles", "db")})

    def test_compose_allows_the_same_connections(self):
        for client, server, _ in allowed_connections("local") - {("roles", "db", 5432)}:
            self.assertTrue(compose()[client]["networks"].keys() & compose()[server]["networks"].keys(), f"{client} → {server}")

    def test_only_the_pages_are_public(self):
        published = {(name, port["target"]) for name, service in compose().items() for port in service.get("ports", [])}
        for variant in VARIANTS:
            self.assertEqual(public_ports(variant), published, variant)

    def test_policies_restrict_every_pod_in_both_directions(self):
        for variant in VARIANTS:
            for name, workload in workloads(variant).items():
                for direction in ["Ingress", "Egress"]:
                    self.assertTrue(policies_of(variant, workload, direction), f"{variant}: {name}, {direction}")

    def test_servers_may_open_no_connections(self):
        for name in ["redis", "db"]:
            self.assertEqual([rule for policy in policies_of("local", workloads("local")[name], "Egress") for rule in policy.get("egress", [])], [])

    def test_clients_may_use_dns(self):
        for variant in VARIANTS:
            exporters = {"redis-exporter", "postgres-exporter"} if "monitoring" in variant else set()
            for client in {client for client, _, _ in QUEUE | STORE} | exporters:
                ports = [port for policy in policies_of(variant, workloads(variant)[client], "Egress") for rule in policy.get("egress", []) for port in rule["ports"]]
                self.assertIn({"protocol": "UDP", "port": 53}, ports)

    def test_only_monitoring_may_read_metrics(self):
        variant = "production with paths, monitoring and KEDA"
        # The exporter may connect to the same managed Postgres as the services.
        reached = {name: [rule["to"] for policy in policies_of(variant, workloads(variant)[name], "Egress") for rule in policy.get("egress", []) if {"protocol": "TCP", "port": 5432} in rule["ports"]] for name in ["result", "postgres-exporter"]}
        self.assertTrue(reached["result"])
        self.assertEqual(reached["postgres-exporter"], reached["result"])
        policy = of_kind(variant, "NetworkPolicy")["metrics"]["spec"]
        self.assertEqual(policy["ingress"][0]["from"], [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}])
        self.assertNotIn("metrics", of_kind("local", "NetworkPolicy"))
        watched = {name for name, workload in workloads(variant).items() if labels(workload)["app"] in policy["podSelector"]["matchExpressions"][0]["values"]}
        managed = {name for name, workload in workloads(variant).items() for container in pod(workload)["containers"] for port in container.get("ports", []) if port["name"] == "management"}
        self.assertEqual(watched, managed)


if __name__ == "__main__":
    unittest.main()
