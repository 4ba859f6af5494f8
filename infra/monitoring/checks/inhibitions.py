#!/usr/bin/env python3
"""Checks which alerts Alertmanager inhibits while a cause fires: posts alerts to a real Alertmanager in a separate compose project."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

from alerts import MONITORING, alerts
from stack import fetch, free_port

COMPOSE = MONITORING / "prometheus" / "docker-compose.yml"
BURNS = {("VoteAvailabilityErrorBudgetBurn", ""), ("VoteLatencyErrorBudgetBurn", "")}
# (alert, job) of a cause: the (alert, job) pairs that it inhibits.
INHIBITED = {
    ("RedisDown", ""): {*BURNS, ("VotesShed", ""), ("HTTPServerErrorRateHigh", "vote"), ("QueueOldestBallotTooOld", ""), ("WorkerStuck", ""), ("QueueNotDurable", ""), ("TargetDown", "redis")},
    ("RedisRejectsWrites", "redis"): {*BURNS, ("VotesShed", ""), ("HTTPServerErrorRateHigh", "vote")},
    ("PostgresDown", ""): {
        ("QueueOldestBallotTooOld", ""), ("WorkerStuck", ""), ("ResultsStale", ""), ("ResultFreshnessErrorBudgetBurn", ""), ("DatabasePoolWaitTimeHigh", "worker"),
        ("DatabasePoolWaitTimeHigh", "result"), ("HTTPServerErrorRateHigh", "result"), ("TargetDown", "postgres"), ("BlackboxProbeFailed", "result"),
    },
    ("WorkerStuck", ""): {("QueueOldestBallotTooOld", ""), ("DatabasePoolWaitTimeHigh", "worker"), ("DatabasePoolWaitTimeHigh", "result")},
    **{
        ("ServiceDown", job): {
            *((name, job) for name in ("ServiceCrashLooping", "ServiceReplicasMissing", "HTTPConnectionsRejected", "ServiceClockSkewed", "ProbeStale", "HTTPServerErrorRateHigh")),
            *({("QueueOldestBallotTooOld", ""), ("WorkerStuck", "")} if job == "worker" else {("BlackboxProbeFailed", job)}),
        }
        for job in ("vote", "worker", "result")
    },
}  # fmt: skip
# Alerts with the label `job`, or `service` where `job` is that of the exporter, and the values of the label.
JOBS = {
    "TargetDown": ("redis", "postgres", "node"),
    "DatabasePoolWaitTimeHigh": ("worker", "result"),
    "RedisRejectsWrites": ("redis",),
    "BlackboxProbeFailed": ("vote", "result"),
    **dict.fromkeys(["ServiceDown", "ServiceCrashLooping", "ServiceReplicasMissing", "HTTPConnectionsRejected", "ServiceClockSkewed", "ProbeStale", "HTTPServerErrorRateHigh"], ("vote", "worker", "result")),
}


def possible_alerts():
    """Yields the labels of every alert in the rules, with each job that it can have."""
    for _, rule in alerts():
        for job in JOBS.get(rule["alert"], ("",)):
            yield {"alertname": rule["alert"], **rule["labels"], **({"service" if rule["alert"] == "BlackboxProbeFailed" else "job": job} if job else {})}


def key(labels):
    return labels["alertname"], labels.get("job") or labels.get("service", "")


def is_inhibited(labels, firing):
    """Returns whether one of the firing alerts inhibits this one."""
    slower_burn = labels["severity"] == "ticket" and any(it["severity"] == "page" and it.get("objective") == labels.get("objective", "none") for it in firing)
    failing = {"VoteAvailabilityErrorBudgetBurn", "HTTPServerErrorRateHigh"}
    unreachable = key(labels) == ("BlackboxProbeFailed", "vote") and any(it["alertname"] in failing and it["severity"] == "page" for it in firing)
    return slower_burn or unreachable or any(key(labels) in INHIBITED.get(key(it), ()) for it in firing)


def post(url, labels, **more):
    body = json.dumps([{"labels": it, "startsAt": "2020-01-01T00:00:00Z", **more} for it in labels]).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"}), timeout=10).read()


def problems(url, firing):
    """Yields the wrong and missing inhibitions while exactly these alerts fire."""
    post(url, firing)
    expected = {json.dumps(it, sort_keys=True) for it in firing if is_inhibited(it, firing)}

    def inhibited():
        """Returns the inhibited alerts, or None until Alertmanager has all alerts."""
        known = fetch(f"{url}/api/v2/alerts")
        return {json.dumps(it["labels"], sort_keys=True) for it in known if it["status"]["inhibitedBy"]} if len(known) == len(firing) else None

    deadline = time.monotonic() + 3
    while (found := inhibited()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found is not None, f"Alertmanager does not have the {len(firing)} posted alerts"
    yield from (f"{firing[0]['alertname']} {firing[0].get('job', '')} does not inhibit {it}" for it in expected - found)
    yield from (f"{firing[0]['alertname']} {firing[0].get('job', '')} inhibits {it}" for it in found - expected)
    post(url, firing, endsAt="2020-01-01T00:00:01Z")
    while fetch(f"{url}/api/v2/alerts"):
        assert time.monotonic() < deadline + 10, "resolved alerts are still active"
        time.sleep(0.05)


def main():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as secrets:
        os.chmod(secrets, 0o755)
        os.mkdir(f"{secrets}/alertmanager")
        environment = {**os.environ, "ALERTMANAGER_PORT": str(port), "SECRETS": secrets}
        compose = ["docker", "compose", "--env-file", "/dev/null", f"--project-name=voting-inhibitions-{os.getpid()}", f"--file={COMPOSE}"]
        subprocess.run([*compose, "up", "--detach", "--wait", "alertmanager"], check=True, env=environment, capture_output=True)
        try:
            all_alerts, found, cases = list(possible_alerts()), [], 0
            for cause in all_alerts:
                combinations = []
                if key(cause) in INHIBITED:
                    # An alert that is a cause inhibits others itself, so it is tested separately.
                    combinations = [[cause, *(it for it in all_alerts if key(it) not in INHIBITED)], *([cause, it] for it in all_alerts if key(it) in INHIBITED and it != cause)]
                # With two causes at once, one would hide a missing rule of the other.
                combinations += [[cause, it] for it in all_alerts if it != cause and is_inhibited(it, [cause]) and [cause, it] not in combinations]
                for firing in combinations:
                    cases += 1
                    found += problems(url, firing)
        finally:
            subprocess.run([*compose, "down", "--volumes", "--timeout", "1"], check=True, env=environment, capture_output=True)
    print("\n".join(found), end="\n" if found else "")
    print(f"inhibitions: {cases} combinations of {len(all_alerts)} alerts, {len(found)} problems")
    sys.exit(1 if found or not cases else 0)


if __name__ == "__main__":
    main()
