#!/usr/bin/env python3
"""What Alertmanager inhibits while a cause fires, and what it does not: alerts are put to a real one, in a compose project of its own."""

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
# (alert, job): the alerts that it stands for, and of which job, if they have one.
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
# Alerts that have the label `job`, or `service` where it is the exporter's job, and its values.
JOBS = {
    "TargetDown": ("redis", "postgres", "node"),
    "DatabasePoolWaitTimeHigh": ("worker", "result"),
    "RedisRejectsWrites": ("redis",),
    "BlackboxProbeFailed": ("vote", "result"),
    **dict.fromkeys(["ServiceDown", "ServiceCrashLooping", "ServiceReplicasMissing", "HTTPConnectionsRejected", "ServiceClockSkewed", "ProbeStale", "HTTPServerErrorRateHigh"], ("vote", "worker", "result")),
}


def possible():
    """The labels of every alert that the rules can fire, with each job that it can have."""
    for _, rule in alerts():
        for job in JOBS.get(rule["alert"], ("",)):
            yield {"alertname": rule["alert"], **rule["labels"], **({"service" if rule["alert"] == "BlackboxProbeFailed" else "job": job} if job else {})}


def key(labels):
    return labels["alertname"], labels.get("job") or labels.get("service", "")


def is_inhibited(labels, firing):
    """Whether one of the alerts that fire stands for this one."""
    slower = labels["severity"] == "ticket" and any(it["severity"] == "page" and it.get("objective") == labels.get("objective", "none") for it in firing)
    failing = {"VoteAvailabilityErrorBudgetBurn", "HTTPServerErrorRateHigh"}
    unreachable = key(labels) == ("BlackboxProbeFailed", "vote") and any(it["alertname"] in failing and it["severity"] == "page" for it in firing)
    return slower or unreachable or any(key(labels) in INHIBITED.get(key(it), ()) for it in firing)


def post(url, labels, **more):
    body = json.dumps([{"labels": it, "startsAt": "2020-01-01T00:00:00Z", **more} for it in labels]).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"}), timeout=10).read()


def problems(url, firing):
    """What is wrong while exactly these alerts fire."""
    post(url, firing)
    wanted = {json.dumps(it, sort_keys=True) for it in firing if is_inhibited(it, firing)}

    def inhibited():
        """None until Alertmanager has taken all of them."""
        known = fetch(f"{url}/api/v2/alerts")
        return {json.dumps(it["labels"], sort_keys=True) for it in known if it["status"]["inhibitedBy"]} if len(known) == len(firing) else None

    deadline = time.monotonic() + 3
    while (found := inhibited()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found is not None, f"Alertmanager does not know the {len(firing)} alerts that were put to it"
    yield from (f"{firing[0]['alertname']} {firing[0].get('job', '')} does not inhibit {it}" for it in wanted - found)
    yield from (f"{firing[0]['alertname']} {firing[0].get('job', '')} inhibits {it}" for it in found - wanted)
    post(url, firing, endsAt="2020-01-01T00:00:01Z")
    while fetch(f"{url}/api/v2/alerts"):
        assert time.monotonic() < deadline + 10, "alerts that are over are still there"
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
            every, found, cases = list(possible()), [], 0
            for cause in every:
                together = []
                if key(cause) in INHIBITED:
                    # What is a cause too stands for others in its turn, so it is looked at by itself.
                    together = [[cause, *(it for it in every if key(it) not in INHIBITED)], *([cause, it] for it in every if key(it) in INHIBITED and it != cause)]
                # One of two causes would hide that the other has no rule.
                together += [[cause, it] for it in every if it != cause and is_inhibited(it, [cause]) and [cause, it] not in together]
                for firing in together:
                    cases += 1
                    found += problems(url, firing)
        finally:
            subprocess.run([*compose, "down", "--volumes", "--timeout", "1"], check=True, env=environment, capture_output=True)
    print("\n".join(found), end="\n" if found else "")
    print(f"inhibitions: {cases} combinations of {len(every)} alerts, {len(found)} problems")
    sys.exit(1 if found or not cases else 0)


if __name__ == "__main__":
    main()
