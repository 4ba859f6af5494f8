"""The pods of the overlay local with monitoring, run on a Docker engine with the rights, variables, limits, volumes and connections of
the manifests, become ready, count votes, and shut down gracefully."""

import json
import os
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from engine import Cluster, docker
from manifests import config_map, pod, secret_objects, workloads
from test_compose import EXPORTERS, seconds

TAG = os.environ.get("TAG", "under-test")


def get(url):
    """Returns the status and the body of a response."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Pods(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(TAG)
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.make_secrets()
        # All at once, as `kubectl apply` does.
        cls.pods = {name: cls.cluster.start(name) for name in ["vote", "worker", "result", "redis", "db", *EXPORTERS]}
        cls.cluster.run_job("roles")
        for one in cls.pods.values():
            one.until_ready()

    def votes(self):
        status, body = get(f"{self.pods['result'].published()}/api/tally")
        self.assertEqual(status, 200)
        return sum(option["votes"] for option in json.loads(body)["options"])

    def test_1_votes_are_counted(self):
        before = self.votes()
        for choice in ["a", "b", "a"]:
            form = urllib.parse.urlencode({"vote": choice}).encode()
            with urllib.request.urlopen(f"{self.pods['vote'].published()}/", form, timeout=5) as response:
                self.assertEqual(response.status, 200)
        deadline = time.monotonic() + 20
        while self.votes() < before + 3:
            self.assertLess(time.monotonic(), deadline, f"{self.votes()} votes are counted")
            time.sleep(0.2)

    def test_2_the_job_creates_the_listed_secrets_and_does_not_change_them_again(self):
        before = dict(self.cluster.secrets)
        self.assertEqual({name: keys.keys() for name, keys in before.items()}, {name: keys.keys() for name, keys in secret_objects().items()})
        self.cluster.make_secrets()
        self.assertEqual(self.cluster.secrets, before, "the second run of the Job changed passwords")

    def test_3_the_job_roles_can_run_again(self):
        self.cluster.run_job("roles")
        self.assertTrue(self.pods["worker"].probe("readinessProbe"))

    def test_4_the_queue_writes_every_vote_to_the_disk(self):
        self.assertIn(b"\nqueue_durable 1\n", get(f"http://{self.pods['vote'].address()}:8090/metrics")[1])

    def test_4_exporters_export_metrics_of_queue_and_store(self):
        for name, port, metrics in [("redis-exporter", 9121, ["redis_up 1", 'redis_key_size{db="db0",key="ballots"} ']), ("postgres-exporter", 9187, ["pg_up 1", "pg_stat_activity_count{"])]:
            with self.subTest(name):
                status, body = get(f"http://{self.pods[name].address()}:{port}/metrics")
                self.assertEqual(status, 200)
                for metric in metrics:
                    self.assertIn(f"\n{metric}", body.decode())

    def test_5_votes_survive_the_replacement_of_the_servers(self):
        before = self.votes()
        for name in ["redis", "db"]:
            self.pods[name] = self.cluster.restart(name, self.pods[name])
        for one in self.pods.values():
            one.until_ready()
        self.assertEqual(self.votes(), before)

    def test_6_another_version_changes_passwords(self):
        before, votes = dict(self.cluster.secrets), self.votes()
        settings = config_map(self.cluster.variant, "secrets-version")["data"]
        settings["version"] = "another"
        self.addCleanup(settings.update, version="1")
        self.cluster.make_secrets()
        unchanged = {(name, key) for name, keys in before.items() for key in keys if self.cluster.secrets[name][key] == before[name][key]}
        # Postgres and Grafana read their passwords only at the first start, and voters have cookies of the previous key.
        self.assertEqual(before["vote"]["cookie-key-previous"], before["vote"]["cookie-key"])
        permanent = {("passwords", "superuser-db"), ("passwords", "grafana-admin"), ("db", "superuser-password")}
        self.assertEqual(unchanged, permanent | {("vote", "cookie-key-previous")})
        # The steps of the README.
        self.cluster.run_job("roles")
        for name in ["redis", "vote", "worker", "result", *EXPORTERS]:
            self.pods[name] = self.cluster.restart(name, self.pods[name])
        for one in self.pods.values():
            one.until_ready()
        self.assertEqual(self.votes(), votes)

    def test_7_a_service_serves_requests_during_its_drain(self):
        drain = seconds(config_map("local", "settings")["data"]["DRAIN_DELAY"])
        for name in ["vote", "result"]:
            with self.subTest(name):
                docker("kill", "--signal=TERM", self.pods[name].name)
                started = time.monotonic()
                probe = workloads("local")[name]["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
                detection = probe["periodSeconds"] * probe["failureThreshold"]
                time.sleep(detection)
                self.assertFalse(self.pods[name].probe("readinessProbe"))
                self.assertTrue(self.pods[name].probe("livenessProbe"))
                self.assertEqual(get(self.pods[name].published())[0], 200)
                grace = pod(workloads("local")[name])["terminationGracePeriodSeconds"]
                code = docker("wait", self.pods[name].name, timeout=grace - detection).strip()
                self.assertEqual(code, "0")
                self.assertGreaterEqual(time.monotonic() - started, drain)


if __name__ == "__main__":
    unittest.main()
