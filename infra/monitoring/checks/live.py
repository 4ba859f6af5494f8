#!/usr/bin/env python3
"""Monitoring beside the running application, from a checkout that is closed to others: every panel has data under load and faults,
the dashboards count the votes that were accepted, slow votes lead to their traces, and when Redis is killed that is one page,
which is resolved when it is over.

usage: live.py IMAGE-TAG LOAD [PICTURES]     LOAD is the program, PICTURES a folder for a picture of each dashboard
"""

import json
import re
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

JOBS = {"vote", "result", "worker", "redis", "postgres", "node", "blackbox", "probe", "prometheus", "alertmanager"}


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


def requests_pages(stack):
    """The blackbox exporter gets both pages, and sees that one is gone."""
    eventually("page of each service", lambda: stack.value('count(probe_success{job="probe"} == 1)') == 2)
    stack.compose("stop", "--timeout", "1", "result")
    eventually("page that is gone", lambda: stack.value('probe_success{job="probe", service="result"}') == 0)
    assert stack.value('probe_success{job="probe", service="vote"}') == 1
    stack.compose("start", "result")
    eventually("page that is back", lambda: stack.value('probe_success{job="probe", service="result"}') == 1)
    print("the pages are requested from outside the services")


def sees_networks(stack):
    """node-exporter tells of this machine's networks, though it is in another."""
    own = {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    own = {device for device in own if not re.match("lo$|veth|br-|docker", device)}
    for metric in ("node_network_receive_bytes_total", "node_network_up"):
        told = {it["metric"]["device"] for it in stack.ask("query", query=metric)["result"]}
        assert own and told == own, f"{metric} has the devices {sorted(told)}; this machine has {sorted(own)}"
    assert stack.value("node_netstat_Tcp_CurrEstab") is not None
    # Later mounts reach its view of the disks, where this machine's mounts are shared.
    container = stack.compose("ps", "--quiet", "node-exporter").strip()
    mounts = subprocess.run(["docker", "inspect", "--format", "{{range .Mounts}}{{.Source}} {{.Propagation}},{{end}}", container], check=True, capture_output=True, text=True)
    assert "/ rslave," in mounts.stdout, mounts.stdout
    print(f"networks of the machine: {', '.join(sorted(own))}")


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
        self.back = time.time()
        self.note("Prometheus: Redis answers")

    def fails_again(self):
        """Votes failed, or Redis did not answer its exporter, after Redis had answered again and all had reconnected."""
        seconds = int(time.time() - self.back - 20)
        failed = self.stack.value(f'sum(increase(vote_submissions_total{{outcome!~"accepted|rejected|rate_limited|address_limit"}}[{seconds}s]))')
        answered = self.stack.value(f"min_over_time(redis_up[{seconds}s])")
        print(f"in the {seconds} s since Redis is back: {failed:.0f} votes failed, and Redis {'always' if answered else 'did not always'} answered its exporter")
        return failed >= 10 or not answered

    def end(self):
        """The burn rates are still far above their thresholds when RedisDown is resolved."""
        self.note("page: RedisDown is resolved", self.receiver.wait_for("page", "RedisDown", "resolved", 300))
        assert self.stack.value("vote:unaccepted:ratio_rate5m") > 0.0144, "the windows hold nothing of the outage, so that this shows nothing"
        # Long enough for `for` of the burn rates and the wait of a group.
        time.sleep(75)
        if {call[2] for call in self.pages()} == {"RedisDown"} and len(self.pages()) == 2:
            self.note("nothing else has paged")
        else:
            assert self.fails_again(), self.pages()
            self.note("this machine is so busy that votes fail again, which is a page of its own")
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
            print(f"up: {', '.join(sorted({job for job, _ in targets}))}")
            sees_no_votes(stack)
            sees_networks(stack)
            requests_pages(stack)
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
