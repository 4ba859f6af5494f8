#!/usr/bin/env python3
"""Runs monitoring next to the application, from a checkout readable by its owner only, and checks that every panel has data under
load and faults, that dashboards show the number of accepted votes, that exemplars link to traces, and that killing Redis causes
one page, which is resolved after recovery.

usage: live.py IMAGE-TAG LOAD [PICTURES]     LOAD is the path of the load generator, PICTURES a folder for a picture of each dashboard
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
from exemplars import stored_trace_ids
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
    assert process.returncode == 0, f"the load generator found a lost vote, or could not vote:\n{output}"


def open_live_result(stack):
    """Reads the live result in the background until the stack stops."""

    def read_events():
        try:
            with urllib.request.urlopen(f"{stack.result}/events", timeout=30) as events:
                while events.readline():
                    pass
        except OSError:
            pass

    threading.Thread(target=read_events, daemon=True).start()


def submit_invalid_vote(stack):
    """Submits a vote for an unknown option, which must be rejected."""
    try:
        urllib.request.urlopen(f"{stack.vote}/", data=b"vote=unknown")
        raise AssertionError("a vote for an unknown option was accepted")
    except urllib.error.HTTPError as error:
        assert error.code in (400, 422), error


def check_permissions(stack):
    """Checks that the users of the exporters can read statistics, but no votes or ballots, and cannot change anything."""
    redis = 'redis-cli --no-auth-warning -h redis --user monitor --pass "$(cut -d \'"\' -f 4 /volume/passwords.json)"'
    postgres = 'PGPASSWORD="$(cat /volume/password)" psql --host=db --username=monitor --dbname=postgres --command'
    for volume, image, allowed, forbidden, error_text in [
        ("secrets-redis-exporter", "redis:8.2", f"{redis} XLEN ballots", [f"{redis} XADD ballots '*' a b", f"{redis} XRANGE ballots - +", f"{redis} XINFO STREAM ballots", f"{redis} FLUSHALL", f"{redis} CONFIG GET dir"], "NOPERM"),
        ("secrets-postgres-exporter", "postgres:18", f"{postgres} 'SELECT count(*) FROM pg_stat_activity'", [f"{postgres} 'SELECT * FROM votes'", f"{postgres} 'CREATE TABLE mine (id int)'"], "permission denied"),
    ]:  # fmt: skip
        output = stack.run("back-tier", volume, image, allowed)
        assert error_text not in output and any(character.isdigit() for character in output), output
        for command in forbidden:
            assert error_text in (output := stack.run("back-tier", volume, image, command)), f"{command}: {output}"
    print("exporters can read statistics and no votes")


def check_probes(stack):
    """Checks that the blackbox exporter loads both pages, and detects that one is down."""
    eventually("successful probe of both pages", lambda: stack.value('count(probe_success{job="probe"} == 1)') == 2)
    stack.compose("stop", "--timeout", "1", "result")
    eventually("failed probe of the stopped page", lambda: stack.value('probe_success{job="probe", service="result"}') == 0)
    assert stack.value('probe_success{job="probe", service="vote"}') == 1
    stack.compose("start", "result")
    eventually("successful probe of the restarted page", lambda: stack.value('probe_success{job="probe", service="result"}') == 1)
    print("the pages are probed from outside the services")


def check_network_metrics(stack):
    """Checks that node-exporter reports the network devices of this machine although it is in another network namespace."""
    own = {line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]}
    own = {device for device in own if not re.match("lo$|veth|br-|docker", device)}
    for metric in ("node_network_receive_bytes_total", "node_network_up"):
        reported = {it["metric"]["device"] for it in stack.query_api("query", query=metric)["result"]}
        assert own and reported == own, f"{metric} has the devices {sorted(reported)}; this machine has {sorted(own)}"
    assert stack.value("node_netstat_Tcp_CurrEstab") is not None
    # Later mounts are visible in the container if this machine's mounts are shared.
    container = stack.compose("ps", "--quiet", "node-exporter").strip()
    mounts = subprocess.run(["docker", "inspect", "--format", "{{range .Mounts}}{{.Source}} {{.Propagation}},{{end}}", container], check=True, capture_output=True, text=True)
    assert "/ rslave," in mounts.stdout, mounts.stdout
    print(f"networks of the machine: {', '.join(sorted(own))}")


def all_up(stack):
    targets = stack.targets()
    return {job for job, _ in targets} == JOBS and set(targets.values()) == {"up"} and targets


def check_vote_count(program, stack):
    """Checks that dashboards show exactly the accepted votes under load, with a worker that is paused for a while."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        load_process = load(program, stack, "--rate", "100", "--duration", "20s", "--json", str(report))
        stack.pause("worker")
        eventually("waiting ballot", lambda: (stack.value("pipeline:oldest_ballot_age:seconds") or 0) > 2)
        stack.compose("unpause", "worker")
        submit_invalid_vote(stack)
        finish(load_process)
        accepted = json.loads(report.read_text())["outcomes"]["accepted"]["count"]
    for dashboard in ("overview", "vote"):
        eventually(
            f"dashboard {dashboard} with {accepted} votes",
            lambda name=dashboard: panels.current_value(stack, name, "Votes accepted") == accepted,
            seconds=20,
        )
    print(f"dashboards show all {accepted} accepted votes")


class RedisOutage:
    """Kills Redis under load and starts it again: expects one page until the outage has no effect on the burn rates any more."""

    def __init__(self, program, stack, receiver):
        self.stack, self.receiver = stack, receiver
        self.load_process = load(program, stack, "--rate", "20", "--duration", "15m")
        self.killed = time.time()
        self.events = [(0, "Redis is killed")]

    def record(self, what, when=None):
        self.events.append(((when or time.time()) - self.killed, what))

    def pages(self):
        return [call for call in self.receiver.calls if call[1] == "page" and call[2] != DEPENDS_ON_MACHINE]

    def kill_and_restart(self):
        stack = self.stack
        stack.compose("kill", "redis")
        for state in ("pending", "firing"):
            eventually(f"{state} alert RedisDown", lambda state=state: stack.alert_state("RedisDown") == state)
            self.record(f"Prometheus: RedisDown is {state}")
        self.record("page: RedisDown fires", self.receiver.wait_for("page", "RedisDown", "firing", 30))
        # Votes fail during the outage, which must not cause a second page.
        eventually("alert VoteAvailabilityErrorBudgetBurn", lambda: stack.alert_state("VoteAvailabilityErrorBudgetBurn") == "firing", 90)
        eventually("inhibited VoteAvailabilityErrorBudgetBurn", lambda: any(it["status"]["inhibitedBy"] for it in stack.alertmanager_alerts("VoteAvailabilityErrorBudgetBurn")), 30)
        self.record("Alertmanager: VoteAvailabilityErrorBudgetBurn is inhibited")
        assert len(self.pages()) == 1, self.pages()
        stack.compose("start", "redis")
        self.record("Redis is started")
        eventually("reachable Redis", lambda: stack.value("redis_up") == 1)
        self.back = time.time()
        self.record("Prometheus: Redis is reachable")

    def failed_after_recovery(self):
        """Returns whether votes failed or Redis was unreachable for its exporter after recovery and reconnection."""
        seconds = int(time.time() - self.back - 20)
        failed = self.stack.value(f'sum(increase(vote_submissions_total{{outcome!~"accepted|rejected|rate_limited|address_limit"}}[{seconds}s]))')
        answered = self.stack.value(f"min_over_time(redis_up[{seconds}s])")
        print(f"in the {seconds} s since Redis recovered: {failed:.0f} votes failed, and Redis was {'always' if answered else 'not always'} reachable for its exporter")
        return failed >= 10 or not answered

    def check_recovery(self):
        """Checks the notifications after recovery. The burn rates are still far above their thresholds when RedisDown is resolved."""
        self.record("page: RedisDown is resolved", self.receiver.wait_for("page", "RedisDown", "resolved", 300))
        assert self.stack.value("vote:unaccepted:ratio_rate5m") > 0.0144, "the windows do not contain the outage, so this test has no meaning"
        # Long enough for `for` of the burn rates and `group_wait`.
        time.sleep(75)
        if {call[2] for call in self.pages()} == {"RedisDown"} and len(self.pages()) == 2:
            self.record("no other page")
        else:
            assert self.failed_after_recovery(), self.pages()
            self.record("votes fail again because this machine is busy, which is a separate page")
        self.load_process.send_signal(signal.SIGINT)
        finish(self.load_process)
        self.record("load: no accepted vote was lost")
        assert "CRITICAL" not in (log := self.stack.compose("logs", "--no-color", "redis")), log
        assert any(call[1] == "watchdog" for call in self.receiver.calls), "the watchdog's receiver was not notified"
        for when, what in sorted(self.events):
            print(f"{when:6.1f} s  {what}")


def main(tag, program, pictures=None):
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        secrets = Path(folder) / "secrets.env"
        secrets.write_text("".join(f"ALERT_{name.upper()}_URL={receiver.url}/{name}\n" for name in ("page", "ticket", "watchdog")))
        # Traces are recorded if an endpoint is set, even if it is unreachable.
        with Stack(tag, {"SECRETS_FILE": str(secrets), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) as stack:
            targets = eventually(f"state with all targets of {sorted(JOBS)} up", lambda: all_up(stack))
            print(f"up: {', '.join(sorted({job for job, _ in targets}))}")
            check_permissions(stack)
            check_network_metrics(stack)
            check_probes(stack)
            start = time.time()
            open_live_result(stack)
            check_vote_count(program, stack)
            eventually("exemplar of a request", lambda: stored_trace_ids(stack.prometheus, 'http_server_request_duration_seconds_bucket{job="vote"}'))
            outage = RedisOutage(program, stack, receiver)
            outage.kill_and_restart()
            # The dashboards are checked while the alerts resolve.
            end = time.time()
            if pictures:
                from pictures import draw

                draw(stack, start, end, Path(pictures))
            problems, count = panels.queries_without_data(stack, start, end)
            outage.check_recovery()
    print("\n".join(problems), end="\n" if problems else "")
    print(f"panels: {count} queries, {len(problems)} without data")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
