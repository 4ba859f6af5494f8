#!/usr/bin/env python3
"""Injects faults and checks that each causes exactly one page from its start until ten minutes after its end, and that the page is
resolved only after the end. Prints every notification with its time.

usage: faults.py IMAGE-TAG LOAD [--parallel N] [FAULT …]     LOAD is the path of the load generator; default: all faults
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

OBSERVATION_AFTER_END = 600
VOTES_PER_SECOND = 5
# More than the limits of MAX_CONNECTIONS=50, also for a single address.
CONNECTION_COUNT = 80


# Health checks start a process per container every two seconds. With several stacks on a machine they use most of the CPU time.
CHECKED_SERVICES = ("vote", "worker", "result", "redis", "db", "prometheus", "alertmanager")
RARE_HEALTH_CHECKS = {service: {"healthcheck": {"interval": "15s"}} for service in CHECKED_SERVICES}


def write_override(folder, services):
    """Writes a compose override file for these services and returns its path."""
    file = Path(folder) / "override.yml"
    file.write_text(json.dumps({"services": services}))
    return file


class PauseService:
    """Pauses the processes of a service."""

    def __init__(self, service):
        self.service = service

    def begin(self, stack):
        stack.pause(self.service)

    def end(self, stack):
        stack.compose("unpause", self.service)


class KillService:
    """Kills a service."""

    def __init__(self, service):
        self.service = service

    def begin(self, stack):
        stack.compose("kill", self.service)

    def end(self, stack):
        stack.compose("start", self.service)


class RemoveReplicas:
    """Removes all replicas of a service."""

    def __init__(self, service):
        self.service = service

    def scale(self, stack, replicas):
        stack.compose("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "--scale", f"{self.service}={replicas}", self.service)

    def begin(self, stack):
        self.scale(stack, 0)

    def end(self, stack):
        self.scale(stack, 1)


class MakeReadOnly:
    """Makes the database read-only."""

    def set(self, stack, value):
        for command in (f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()"):
            stack.compose("exec", "--no-TTY", "db", "psql", "--username=postgres", "--command", command)

    def begin(self, stack):
        self.set(stack, "on")

    def end(self, stack):
        self.set(stack, "off")


class StartCrashLoop:
    """Starts a service with an invalid setting, so that it exits and Docker restarts it."""

    def begin(self, stack):
        stack.compose("up", "--detach", "--no-build", "--no-deps", "vote", settings={"POLL_OPTIONS": "broken"})

    def end(self, stack):
        stack.compose("up", "--detach", "--no-build", "--no-deps", "vote")


class KillReplica:
    """Kills one of several replicas; Docker does not restart it."""

    def begin(self, stack):
        self.container = stack.compose("ps", "--quiet", "vote").split()[-1]
        subprocess.run(["docker", "kill", self.container], check=True, capture_output=True)

    def end(self, stack):
        subprocess.run(["docker", "start", self.container], check=True, capture_output=True)


class ExhaustConnections:
    """Opens all connections of the vote service and reopens them when they are closed."""

    def begin(self, stack):
        self.over = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.open_all(int(stack.vote.rsplit(":", 1)[1]))), daemon=True).start()

    def end(self, _):
        self.over.set()

    async def hold_connection(self, port):
        """Opens a connection with an incomplete request and waits until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
            while not self.over.is_set() and await asyncio.wait_for(reader.read(4096), 20):
                pass
        finally:
            writer.close()

    async def open_all(self, port):
        async def client():
            while not self.over.is_set():
                with suppress(OSError, TimeoutError):
                    await self.hold_connection(port)
                await asyncio.sleep(0.2)

        await asyncio.gather(*(client() for _ in range(CONNECTION_COUNT)))


class ShiftClock:
    """Shifts the clock of the worker by some seconds, with libfaketime in LD_PRELOAD."""

    LIBRARY = "libfaketimeMT.so.1"

    def __init__(self, seconds):
        self.seconds = seconds

    def begin(self, stack):
        library = next(Path("/usr/lib").glob(f"*/faketime/{self.LIBRARY}"), None)
        assert library, f"{self.LIBRARY} is missing on this machine: install the package libfaketime"
        # The monotonic clock, which is used between retries, is not changed.
        environment = {"LD_PRELOAD": f"/{self.LIBRARY}", "FAKETIME": f"{self.seconds:+}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        worker = {"environment": environment, "volumes": [f"{library}:/{self.LIBRARY}:ro"]}
        with tempfile.TemporaryDirectory() as folder:
            override = write_override(folder, {"worker": worker})
            stack.compose("up", "--detach", "--no-build", "--no-deps", "worker", overrides=[override])

    def end(self, stack):
        stack.compose("up", "--detach", "--no-build", "--no-deps", "worker")


@dataclass
class Fault:
    action: object
    # The alerts of which exactly one must page; if empty, none may page.
    pages: set
    seconds: int = 170
    settings: dict = field(default_factory=dict)
    replicas: int = 1
    healthy_before: int = 180
    # A ticket that must be created.
    ticket: str | None = None


BURN = "VoteAvailabilityErrorBudgetBurn"
FAULTS = {
    "redis-frozen": Fault(PauseService("redis"), {"RedisDown"}, 120),
    "redis-killed": Fault(KillService("redis"), {"RedisDown"}),
    "postgres-frozen": Fault(PauseService("db"), {"PostgresDown"}),
    "postgres-killed": Fault(KillService("db"), {"PostgresDown"}),
    "postgres-read-only": Fault(MakeReadOnly(), {"WorkerStuck"}),
    "worker-frozen": Fault(PauseService("worker"), {"ServiceDown"}),
    "worker-scaled-to-0": Fault(RemoveReplicas("worker"), {"ServiceDown"}),
    "vote-frozen": Fault(PauseService("vote"), {"ServiceDown"}),
    "vote-crash-loop": Fault(StartCrashLoop(), {"ServiceDown"}, 400),
    # The expected number of replicas is only known after a while.
    "one-replica-of-three": Fault(KillReplica(), set(), 420, replicas=3, healthy_before=1320, ticket="ServiceReplicasMissing"),
    "connection-limit": Fault(ExhaustConnections(), {BURN}, 240, {"MAX_CONNECTIONS": "50", "MAX_CONNECTIONS_PER_ADDRESS": "500"}, ticket="HTTPConnectionsRejected"),
    "worker-clock-ahead": Fault(ShiftClock(120), set(), 480, ticket="ServiceClockSkewed"),
    "worker-clock-behind": Fault(ShiftClock(-120), set(), 480, ticket="ServiceClockSkewed"),
}  # fmt: skip


def vote_ports(replicas):
    """Returns a free port, or a range of consecutive ports for several replicas, as compose expects them."""
    while True:
        first = free_port()
        if replicas == 1:
            return str(first)
        if first + replicas < 65535:
            return f"{first}-{first + replicas - 1}"


def inject_fault(fault, tag, program):
    """Injects a fault. Returns its notifications as [(seconds since the start, receiver, alert, status)], the time of its end, and
    whether votes were slow on this machine before the fault."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as entered:
        receiver = entered.enter_context(Receiver())
        secrets = Path(folder) / "secrets.env"
        secrets.write_text("".join(f"ALERT_{name.upper()}_URL={receiver.url}/{name}\n" for name in ("page", "ticket", "watchdog")))
        ports = vote_ports(fault.replicas)
        settings = {"SECRETS_FILE": str(secrets), **fault.settings}
        stack = Stack(tag, settings, [write_override(folder, RARE_HEALTH_CHECKS)], VOTE_PORT=ports)
        stack.vote = f"http://127.0.0.1:{ports.split('-')[0]}"
        entered.enter_context(stack)
        if fault.replicas > 1:
            stack.compose("up", "--detach", "--no-build", "--no-recreate", "--no-deps", "--wait", "--scale", f"vote={fault.replicas}", "vote")
        eventually("state with all targets up", lambda: set(stack.targets().values()) == {"up"})
        # The load stops with the stack; other tests check for lost votes.
        load = subprocess.Popen(
            [program, "--vote-url", stack.vote, "--result-url", stack.result, "--voters", "300", "--rate", str(VOTES_PER_SECOND), "--duration", "60m"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        entered.callback(load.kill)
        time.sleep(fault.healthy_before)
        before = [call for call in receiver.calls if call[1] == "page" and call[2] != DEPENDS_ON_MACHINE]
        assert not before, f"pages before the fault: {before}"
        slow = stack.alert_state(DEPENDS_ON_MACHINE) is not None
        started = time.time()
        fault.action.begin(stack)
        time.sleep(fault.seconds)
        fault.action.end(stack)
        over = time.time() - started
        time.sleep(OBSERVATION_AFTER_END)
        return [(when - started, *what) for when, *what in receiver.calls if when >= started and what[0] != "watchdog"], over, slow


def problems(fault, notifications, over, slow):
    notifications = [call for call in notifications if not (slow and call[2] == DEPENDS_ON_MACHINE)]
    pages = [alert for _, receiver, alert, status in notifications if (receiver, status) == ("page", "firing")]
    if len(pages) != min(1, len(fault.pages)) or not set(pages) <= fault.pages:
        yield f"pages: {', '.join(pages) or 'none'}; expected: {'one of ' + ', '.join(sorted(fault.pages)) if fault.pages else 'none'}"
    if early := [f"{alert} after {when:.0f} s" for when, receiver, alert, status in notifications if (receiver, status) == ("page", "resolved") and when < over]:
        yield f"resolved during the fault: {', '.join(early)}"
    ended = {alert for _, receiver, alert, status in notifications if (receiver, status) == ("page", "resolved")}
    yield from (f"{alert} is not resolved ten minutes after the end of the fault" for alert in pages if alert not in ended)
    if fault.ticket and fault.ticket not in {alert for _, receiver, alert, _ in notifications if receiver == "ticket"}:
        yield f"no ticket {fault.ticket}"


def run(name, tag, program):
    """Runs one fault and prints its events. Returns whether it passed."""
    fault = FAULTS[name]
    try:
        notifications, over, slow = inject_fault(fault, tag, program)
    except AssertionError as error:
        print(f"{name}: {error}")
        return False
    events = [(0, f"fault starts{'; votes are slow on this machine' if slow else ''}"), (over, "fault ends"), *((when, f"{receiver}: {alert} {status}") for when, receiver, alert, status in notifications)]
    found = list(problems(fault, notifications, over, slow))
    print("\n".join([name, *(f"{when:7.0f} s  {what}" for when, what in sorted(events)), *(f"  problem: {problem}" for problem in found)]), flush=True)
    return not found


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("tag")
    arguments.add_argument("load")
    arguments.add_argument("faults", nargs="*", metavar="FAULT", help=f"one of {', '.join(FAULTS)}")
    arguments.add_argument("--parallel", type=int, default=1)
    given = arguments.parse_intermixed_args()
    if unknown := set(given.faults) - FAULTS.keys():
        sys.exit(f"unknown faults: {', '.join(sorted(unknown))}; known faults: {', '.join(FAULTS)}")
    with ThreadPoolExecutor(given.parallel) as pool:
        passed = list(pool.map(lambda name: run(name, given.tag, given.load), given.faults or FAULTS))
    print(f"faults: {len(passed)}, {passed.count(False)} failed")
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
