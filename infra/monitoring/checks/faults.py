#!/usr/bin/env python3
"""One page for each fault, from the moment it begins until ten minutes after it is over, and "resolved" only once it is over.
Prints every notification with its second.

usage: faults.py IMAGE-TAG LOAD [--parallel N] [FAULT …]     LOAD is the program; without a FAULT all of them
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from stack import DEPENDS_ON_MACHINE, Stack, eventually, free_port
from webhook import Receiver

OBSERVED_AFTERWARDS = 600
VOTES_PER_SECOND = 5
# More than are accepted at MAX_CONNECTIONS=50, of one address too.
CONNECTIONS = 80


# A health check starts a process in its container every two seconds; with several stacks on a machine these take most of its time.
CHECKED = ("vote", "worker", "result", "redis", "db", "prometheus", "alertmanager")
RARE_HEALTH_CHECKS = {service: {"healthcheck": {"interval": "15s"}} for service in CHECKED}


def written(folder, services):
    """A file with what is different for these services."""
    file = Path(folder) / "override.yml"
    file.write_text(json.dumps({"services": services}))
    return file


class Frozen:
    """A service whose processes stand still."""

    def __init__(self, service):
        self.service = service

    def begin(self, stack):
        stack.pause(self.service)

    def end(self, stack):
        stack.compose("unpause", self.service)


class Killed:
    def __init__(self, service):
        self.service = service

    def begin(self, stack):
        stack.compose("kill", self.service)

    def end(self, stack):
        stack.compose("start", self.service)


class Without:
    """No replica of a service."""

    def __init__(self, service):
        self.service = service

    def scale(self, stack, replicas):
        stack.compose("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "--scale", f"{self.service}={replicas}", self.service)

    def begin(self, stack):
        self.scale(stack, 0)

    def end(self, stack):
        self.scale(stack, 1)


class ReadOnly:
    """A database that takes no writes."""

    def set(self, stack, value):
        for command in (f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()"):
            stack.compose("exec", "--no-TTY", "db", "psql", "--username=postgres", "--command", command)

    def begin(self, stack):
        self.set(stack, "on")

    def end(self, stack):
        self.set(stack, "off")


class CrashLoop:
    """A service that ends at its start because of a setting, and is restarted by Docker."""

    def begin(self, stack):
        stack.compose("up", "--detach", "--no-build", "--no-deps", "vote", settings={"POLL_OPTIONS": "broken"})

    def end(self, stack):
        stack.compose("up", "--detach", "--no-build", "--no-deps", "vote")


class ReplicaGone:
    """One replica of several is killed, which Docker does not restart."""

    def begin(self, stack):
        self.container = stack.compose("ps", "--quiet", "vote").split()[-1]
        subprocess.run(["docker", "kill", self.container], check=True, capture_output=True)

    def end(self, stack):
        subprocess.run(["docker", "start", self.container], check=True, capture_output=True)


class ConnectionsTaken:
    """Clients that take all connections of the voting service and open them again when they are closed."""

    def begin(self, stack):
        self.over = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.take(int(stack.vote.rsplit(":", 1)[1]))), daemon=True).start()

    def end(self, _):
        self.over.set()

    async def hold(self, port):
        """One connection with an unfinished request, until it is closed or answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
            while not self.over.is_set() and await asyncio.wait_for(reader.read(4096), 20):
                pass
        finally:
            writer.close()

    async def take(self, port):
        async def client():
            while not self.over.is_set():
                with suppress(OSError, TimeoutError):
                    await self.hold(port)
                await asyncio.sleep(0.2)

        await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


class WrongClock:
    """A worker whose clock is wrong by some seconds, by a library that a program's calls go to first."""

    LIBRARY = "libfaketimeMT.so.1"

    def __init__(self, seconds):
        self.seconds = seconds

    def begin(self, stack):
        library = next(Path("/usr/lib").glob(f"*/faketime/{self.LIBRARY}"), None)
        assert library, f"there is no {self.LIBRARY} on this machine: install the package libfaketime"
        # Time that only passes, as between retries, stays as it is.
        environment = {"LD_PRELOAD": f"/{self.LIBRARY}", "FAKETIME": f"{self.seconds:+}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        worker = {"environment": environment, "volumes": [f"{library}:/{self.LIBRARY}:ro"]}
        with tempfile.TemporaryDirectory() as folder:
            override = written(folder, {"worker": worker})
            stack.compose("up", "--detach", "--no-build", "--no-deps", "worker", overrides=[override])

    def end(self, stack):
        stack.compose("up", "--detach", "--no-build", "--no-deps", "worker")


@dataclass
class Fault:
    what: object
    # The alerts that may page; one of them does, if there are any.
    pages: set
    seconds: int = 170
    settings: dict = field(default_factory=dict)
    replicas: int = 1
    healthy_before: int = 180
    # A ticket that must come.
    ticket: str | None = None


BURN = "VoteAvailabilityErrorBudgetBurn"
FAULTS = {
    "redis-frozen": Fault(Frozen("redis"), {"RedisDown"}, 120),
    "redis-killed": Fault(Killed("redis"), {"RedisDown"}),
    "postgres-frozen": Fault(Frozen("db"), {"PostgresDown"}),
    "postgres-killed": Fault(Killed("db"), {"PostgresDown"}),
    "postgres-read-only": Fault(ReadOnly(), {"WorkerStuck"}),
    "worker-frozen": Fault(Frozen("worker"), {"ServiceDown"}),
    "worker-scaled-to-0": Fault(Without("worker"), {"ServiceDown"}),
    "vote-frozen": Fault(Frozen("vote"), {"ServiceDown"}),
    "vote-crash-loop": Fault(CrashLoop(), {"ServiceDown"}, 400),
    # What is normal is known after a while only.
    "one-replica-of-three": Fault(ReplicaGone(), set(), 420, replicas=3, healthy_before=1320, ticket="ServiceReplicasMissing"),
    "connection-limit": Fault(ConnectionsTaken(), {BURN}, 240, {"MAX_CONNECTIONS": "50", "MAX_CONNECTIONS_PER_ADDRESS": "500"}, ticket="HTTPConnectionsRejected"),
    "worker-clock-ahead": Fault(WrongClock(120), set(), 480, ticket="ServiceClockSkewed"),
    "worker-clock-behind": Fault(WrongClock(-120), set(), 480, ticket="ServiceClockSkewed"),
}  # fmt: skip


def vote_ports(replicas):
    """A free port, or as many in a row, as compose wants them for replicas."""
    while True:
        first = free_port()
        if replicas == 1:
            return str(first)
        if first + replicas < 65535:
            return f"{first}-{first + replicas - 1}"


def cause(fault, tag, program):
    """The notifications of a fault, [(seconds since it began, receiver, alert, status)], when it was over, and whether the machine was
    too slow for votes before."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as entered:
        receiver = entered.enter_context(Receiver())
        secrets = Path(folder) / "secrets.env"
        secrets.write_text("".join(f"ALERT_{name.upper()}_URL={receiver.url}/{name}\n" for name in ("page", "ticket", "watchdog")))
        ports = vote_ports(fault.replicas)
        settings = {"SECRETS_FILE": str(secrets), **fault.settings}
        stack = Stack(tag, settings, [written(folder, RARE_HEALTH_CHECKS)], VOTE_PORT=ports)
        stack.vote = f"http://127.0.0.1:{ports.split('-')[0]}"
        entered.enter_context(stack)
        if fault.replicas > 1:
            stack.compose("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "--wait", "--scale", f"vote={fault.replicas}", "vote")
        eventually("targets that are all up", lambda: set(stack.targets().values()) == {"up"})
        # It ends with the stack; whether votes are lost is for other tests.
        voting = subprocess.Popen(
            [program, "--vote-url", stack.vote, "--result-url", stack.result, "--voters", "300", "--rate", str(VOTES_PER_SECOND), "--duration", "60m"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        entered.callback(voting.kill)
        time.sleep(fault.healthy_before)
        before = [call for call in receiver.calls if call[1] == "page" and call[2] != DEPENDS_ON_MACHINE]
        assert not before, f"pages without a fault: {before}"
        slow = stack.alert(DEPENDS_ON_MACHINE) is not None
        begun = time.time()
        fault.what.begin(stack)
        time.sleep(fault.seconds)
        fault.what.end(stack)
        over = time.time() - begun
        time.sleep(OBSERVED_AFTERWARDS)
        return [(when - begun, *what) for when, *what in receiver.calls if when >= begun and what[0] != "watchdog"], over, slow


def problems(fault, calls, over, slow):
    calls = [call for call in calls if not (slow and call[2] == DEPENDS_ON_MACHINE)]
    pages = [alert for _, receiver, alert, status in calls if (receiver, status) == ("page", "firing")]
    if len(pages) != min(1, len(fault.pages)) or not set(pages) <= fault.pages:
        yield f"pages: {', '.join(pages) or 'none'}; allowed is {'one of ' + ', '.join(sorted(fault.pages)) if fault.pages else 'none'}"
    if early := [f"{alert} after {when:.0f} s" for when, receiver, alert, status in calls if (receiver, status) == ("page", "resolved") and when < over]:
        yield f"resolved while it went on: {', '.join(early)}"
    ended = {alert for _, receiver, alert, status in calls if (receiver, status) == ("page", "resolved")}
    yield from (f"{alert} is not resolved ten minutes after it was over" for alert in pages if alert not in ended)
    if fault.ticket and fault.ticket not in {alert for _, receiver, alert, _ in calls if receiver == "ticket"}:
        yield f"no ticket {fault.ticket}"


def run(name, tag, program):
    """Prints what happened when. Returns whether that was allowed."""
    fault = FAULTS[name]
    try:
        calls, over, slow = cause(fault, tag, program)
    except AssertionError as error:
        print(f"{name}: {error}")
        return False
    happened = [(0, f"it begins{', while votes are slow on this machine' if slow else ''}"), (over, "it is over"), *((when, f"{receiver}: {alert} {status}") for when, receiver, alert, status in calls)]
    found = list(problems(fault, calls, over, slow))
    print("\n".join([name, *(f"{when:7.0f} s  {what}" for when, what in sorted(happened)), *(f"  wrong: {problem}" for problem in found)]), flush=True)
    return not found


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("tag")
    arguments.add_argument("load")
    arguments.add_argument("faults", nargs="*", metavar="FAULT", help=f"one of {', '.join(FAULTS)}")
    arguments.add_argument("--parallel", type=int, default=1)
    given = arguments.parse_intermixed_args()
    if unknown := set(given.faults) - FAULTS.keys():
        sys.exit(f"there is no fault {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    with ThreadPoolExecutor(given.parallel) as pool:
        passed = list(pool.map(lambda name: run(name, given.tag, given.load), given.faults or FAULTS))
    print(f"faults: {len(passed)}, {passed.count(False)} wrong")
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
