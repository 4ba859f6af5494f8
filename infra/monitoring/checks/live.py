#!/usr/bin/env python3
"""Monitoring beside the running application: every panel has data under load and faults, the dashboards count the votes that
were accepted, slow votes lead to their traces, and when Redis is killed that is one page, which is resolved when it is over.

usage: live.py IMAGE-TAG LOAD [PICTURES]     LOAD is the program, PICTURES a folder for a picture of each dashboard
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import panels
from exemplars import kept
from stack import DEPENDS_ON_MACHINE, Stack, eventually
from webhook import Receiver

JOBS = {"vote", "result", "worker", "redis", "postgres", "node", "prometheus", "alertmanager"}


def load(program, stack, *arguments):
    return subprocess.Popen(
        [program, "--vote-url", stack.vote, "--result-url", stack.result, "--voters", "300", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process):
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, f"load found a vote lost, or could not vote:\n{output}"


def watch(stack):
    """Somebody who looks at the live result until the stack ends."""

    def look():
        try:
            with urllib.request.urlopen(f"{stack.result}/events", timeout=30) as events:
                while events.readline():
                    pass
        except OSError:
            pass

    threading.Thread(target=look, daemon=True).start()


def refused(stack):
    """A vote for what is not offered."""
    try:
        urllib.request.urlopen(f"{stack.vote}/", data=b"vote=nobody")
        raise AssertionError("a vote for nobody was accepted")
    except urllib.error.HTTPError as error:
        assert error.code in (400, 422), error


def sees_no_votes(stack):
    """Monitoring's own users may read figures, and neither votes nor ballots, and change nothing."""
    redis = 'redis-cli --no-auth-warning -h redis --user monitor --pass "$(cut -d \'"\' -f 4 /volume/passwords.json)"'
    postgres = 'PGPASSWORD="$(cat /volume/password)" psql --host=db --username=monitor --dbname=postgres --command'
    for volume, image, allowed, forbidden, refusal in [
        ("secrets-redis-exporter", "redis:8.2", f"{redis} XLEN ballots", [f"{redis} XADD ballots '*' a b", f"{redis} XRANGE ballots - +", f"{redis} XINFO STREAM ballots", f"{redis} FLUSHALL", f"{redis} CONFIG GET dir"], "NOPERM"),
        ("secrets-postgres-exporter", "postgres:18", f"{postgres} 'SELECT count(*) FROM pg_stat_activity'", [f"{postgres} 'SELECT * FROM votes'", f"{postgres} 'CREATE TABLE mine (id int)'"], "permission denied"),
    ]:  # fmt: skip
        said = stack.run("back-tier", volume, image, allowed)
        assert refusal not in said and any(character.isdigit() for character in said), said
        for command in forbidden:
            assert refusal in (said := stack.run("back-tier", volume, image, command)), f"{command}: {said}"
    print("monitoring reads figures and no votes")


def all_up(stack):
    targets = stack.targets()
    return {job for job, _ in targets} == JOBS and set(targets.values()) == {"up"} and targets


def counts_votes(program, stack):
    """Under load, with a worker that stands still for a while, dashboards show exactly the accepted votes."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        voting = load(program, stack, "--rate", "100", "--duration", "20s", "--json", str(report))
        stack.pause("worker")
        eventually("ballot that waits", lambda: (stack.value("pipeline:oldest_ballot_age:seconds") or 0) > 2)
        stack.compose("unpause", "worker")
        refused(stack)
        finish(voting)
        accepted = json.loads(report.read_text())["outcomes"]["accepted"]["count"]
    for dashboard in ("overview", "vote"):
        eventually(
            f"dashboard {dashboard} that shows {accepted} votes",
            lambda name=dashboard: panels.present(stack, name, "Votes accepted") == accepted,
            seconds=20,
        )
    print(f"dashboards show {accepted} votes, which are all that were accepted")


class RedisOutage:
    """Redis is killed while people vote, and started again: one page, until what the outage left in the windows would have paged."""

    def __init__(self, program, stack, receiver):
        self.stack, self.receiver = stack, receiver
        self.voting = load(program, stack, "--rate", "20", "--duration", "15m")
        self.killed = time.time()
        self.happened = [(0, "Redis is killed")]

    def note(self, what, when=None):
        self.happened.append(((when or time.time()) - self.killed, what))

    def pages(self):
        return [call for call in self.receiver.calls if call[1] == "page" and call[2] != DEPENDS_ON_MACHINE]

    def suffer(self):
        stack = self.stack
        stack.compose("kill", "redis")
        for state in ("pending", "firing"):
            eventually(f"alert RedisDown {state}", lambda state=state: stack.alert("RedisDown") == state)
            self.note(f"Prometheus: RedisDown is {state}")
        self.note("page: RedisDown fires", self.receiver.wait_for("page", "RedisDown", "firing", 30))
        # Votes fail meanwhile, which is no second page.
        eventually("alert VoteAvailabilityErrorBudgetBurn", lambda: stack.alert("VoteAvailabilityErrorBudgetBurn") == "firing", 90)
        eventually("inhibited VoteAvailabilityErrorBudgetBurn", lambda: any(it["status"]["inhibitedBy"] for it in stack.notices("VoteAvailabilityErrorBudgetBurn")), 30)
        self.note("Alertmanager: VoteAvailabilityErrorBudgetBurn is inhibited")
        assert len(self.pages()) == 1, self.pages()
        stack.compose("start", "redis")
        self.note("Redis is started")
        eventually("Redis that answers", lambda: stack.value("redis_up") == 1)
        self.note("Prometheus: Redis answers")

    def end(self):
        """The burn rates are still far above their thresholds when RedisDown is resolved."""
        self.note("page: RedisDown is resolved", self.receiver.wait_for("page", "RedisDown", "resolved", 300))
        assert self.stack.value("vote:unaccepted:ratio_rate5m") > 0.0144, "the windows hold nothing of the outage, so that this shows nothing"
        # Long enough for `for` of the burn rates and the wait of a group.
        time.sleep(75)
        self.note("nothing else has paged")
        assert {call[2] for call in self.pages()} == {"RedisDown"} and len(self.pages()) == 2, self.pages()
        self.voting.send_signal(signal.SIGINT)
        finish(self.voting)
        self.note("load: no accepted vote is lost")
        assert "CRITICAL" not in (log := self.stack.compose("logs", "--no-color", "redis")), log
        assert any(call[1] == "watchdog" for call in self.receiver.calls), "the watchdog's receiver was not notified"
        for when, what in sorted(self.happened):
            print(f"{when:6.1f} s  {what}")


def main(tag, program, pictures=None):
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        secrets = Path(folder) / "secrets.env"
        secrets.write_text("".join(f"ALERT_{name.upper()}_URL={receiver.url}/{name}\n" for name in ("page", "ticket", "watchdog")))
        # Traces are recorded where there is a receiver, even one that does not answer.
        with Stack(tag, {"SECRETS_FILE": str(secrets), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) as stack:
            targets = eventually(f"target up of each of {sorted(JOBS)}", lambda: all_up(stack))
            print(f"up: {', '.join(sorted(job for job, _ in targets))}")
            sees_no_votes(stack)
            start = time.time()
            watch(stack)
            counts_votes(program, stack)
            eventually("trace of a request in its bucket", lambda: kept(stack.prometheus, 'http_server_request_duration_seconds_bucket{job="vote"}'))
            outage = RedisOutage(program, stack, receiver)
            outage.suffer()
            # What dashboards show is of no interest to alerts, and is looked at while they end.
            end = time.time()
            if pictures:
                from pictures import draw

                draw(stack, start, end, Path(pictures))
            bad, asked = panels.without_data(stack, start, end)
            outage.end()
    print("\n".join(bad), end="\n" if bad else "")
    print(f"panels: {asked} queries, {len(bad)} without data")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
