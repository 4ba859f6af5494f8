"""NetworkPolicies: what must be reached is reached, nothing else, and nothing that compose's networks separate."""

import re
import unittest

from manifests import PROJECT, VARIANTS, labels, of_kind, pod, workloads
from network import admitted, asked, edges, open_to_the_world, policies_of
from test_compose import compose

STORE = {("worker", "db", 5432), ("result", "db", 5432), ("roles", "db", 5432)}
QUEUE = {("vote", "redis", 6379), ("worker", "redis", 6379)}


def ways_that_are_needed(variant):
    """Client, server and port. The store of production is outside the cluster."""
    local, monitored = variant.startswith("local"), "monitoring" in variant
    needed = QUEUE | (STORE if local else set())
    needed |= {("redis-exporter", "redis", 6379)} if monitored else set()
    return needed | ({("postgres-exporter", "db", 5432)} if monitored and local else set())


class Policies(unittest.TestCase):
    def test_ways_between_pods(self):
        for variant in VARIANTS:
            with self.subTest(variant):
                # No pod of the application may call the pages, which are open to all others.
                self.assertEqual(edges(variant), ways_that_are_needed(variant))

    def test_neither_end_allows_more_than_the_other(self):
        for variant in VARIANTS:
            with self.subTest(variant):
                self.assertEqual(asked(variant), edges(variant))
                # The pages are open to all.
                pages = open_to_the_world(variant)
                self.assertEqual({way for way in admitted(variant) if way[1:] not in pages}, edges(variant))

    def test_ways_are_those_of_the_urls(self):
        urls = re.findall(r"(redis|postgres)://(\w+):%s@(\w+)", (PROJECT / "infra/compose/make-secrets").read_text())
        self.assertEqual({(user, host) for _, user, host in urls}, {(client, server) for client, server, _ in edges("local")} - {("roles", "db")})

    def test_compose_allows_them_too(self):
        for client, server, _ in edges("local") - {("roles", "db", 5432)}:
            self.assertTrue(compose()[client]["networks"].keys() & compose()[server]["networks"].keys(), f"{client} → {server}")

    def test_the_pages_alone_are_open(self):
        published = {(name, port["target"]) for name, service in compose().items() for port in service.get("ports", [])}
        for variant in VARIANTS:
            self.assertEqual(open_to_the_world(variant), published, variant)

    def test_every_pod_is_closed_in_both_directions(self):
        for variant in VARIANTS:
            for name, workload in workloads(variant).items():
                for direction in ["Ingress", "Egress"]:
                    self.assertTrue(policies_of(variant, workload, direction), f"{variant}: {name}, {direction}")

    def test_servers_reach_nothing(self):
        for name in ["redis", "db"]:
            self.assertEqual([rule for policy in policies_of("local", workloads("local")[name], "Egress") for rule in policy.get("egress", [])], [])

    def test_clients_may_ask_for_names(self):
        for variant in VARIANTS:
            exporters = {"redis-exporter", "postgres-exporter"} if "monitoring" in variant else set()
            for client in {client for client, _, _ in QUEUE | STORE} | exporters:
                ports = [port for policy in policies_of(variant, workloads(variant)[client], "Egress") for rule in policy.get("egress", []) for port in rule["ports"]]
                self.assertIn({"protocol": "UDP", "port": 53}, ports)

    def test_metrics_are_for_monitoring_alone(self):
        variant = "production with paths, monitoring and KEDA"
        # The exporter reaches the managed Postgres as the services do.
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
