"""Runs the application with monitoring in a separate compose project, and queries its Prometheus and Alertmanager."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
# The latency of votes depends on other load of the machine, so checks ignore pages of this alert.
DEPENDS_ON_MACHINE = "VoteLatencyErrorBudgetBurn"


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def eventually(what, probe, seconds=60):
    """Returns the first true value of `probe()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {seconds} s")
        time.sleep(0.25)
    return found


def fetch(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as response:
        return json.load(response)


def restricted_checkout(folder):
    """Copies the files that compose uses, readable by the owner only, as with a umask of 077. No image has this owner as a user."""
    for part in ("docker-compose.yml", "secrets.env.example", "infra/compose", "infra/monitoring", "infra/tracing"):
        (folder / part).parent.mkdir(exist_ok=True)
        (shutil.copytree if (PROJECT / part).is_dir() else shutil.copy)(PROJECT / part, folder / part)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345)


class Stack:
    instance_numbers = itertools.count()

    def __init__(self, tag, settings, overrides=(), **ports_given):
        self.overrides = overrides
        self.name = f"voting-monitoring-{os.getpid()}-{next(self.instance_numbers)}"
        self.checkout = tempfile.TemporaryDirectory()
        restricted_checkout(Path(self.checkout.name))
        ports = {name: free_port() for name in ("vote", "result", "prometheus", "alertmanager")}
        self.vote, self.result, self.prometheus, self.alertmanager = (f"http://127.0.0.1:{port}" for port in ports.values())
        self.environment = {**os.environ, "TAG": tag, **settings, **{f"{name.upper()}_PORT": str(port) for name, port in ports.items()}, **ports_given}

    def compose(self, *arguments, profile="monitoring", settings=(), overrides=()):
        files = [f"--file={file}" for file in ("docker-compose.yml", *self.overrides, *overrides)]
        command = ["docker", "compose", "--env-file", "/dev/null", "--project-name", self.name, *files, "--profile", profile, *arguments]
        done = subprocess.run(command, cwd=self.checkout.name, env={**self.environment, **dict(settings)}, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def pause(self, service):
        """Pauses a service. Retries because on a busy machine the kernel may need longer than the runtime's timeout."""

        def is_paused():
            try:
                self.compose("pause", service)
            except AssertionError as error:
                if "unable to freeze" not in str(error):
                    raise
                return False
            return True

        eventually(f"pause of {service}", is_paused)

    def __enter__(self):
        try:
            self.compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", "120")
        except BaseException:
            self.__exit__(AssertionError, None, None)
            raise
        return self

    def __exit__(self, kind, _value, _trace):
        if kind:
            print(self.compose("logs", "--no-color", "--tail", "6"))
        # The command in the README must remove everything.
        self.compose("down", "--volumes", "--timeout", "3", profile="*")
        left = subprocess.run(["docker", "ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={self.name}"], capture_output=True, text=True)
        if left.stdout:
            raise AssertionError(f"containers of {self.name} are left: {left.stdout}")
        self.checkout.cleanup()

    def run(self, network, volume, image, script):
        """Runs a script in one of the project's networks, with one of its volumes at /volume, and returns its output."""
        command = ["docker", "run", "--rm", f"--network={self.name}_{network}", f"--volume={self.name}_{volume}:/volume:ro", "--entrypoint=sh", image, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout + done.stderr

    def query_api(self, path, **parameters):
        return fetch(f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")["data"]

    def targets(self):
        """Returns {(job, instance): health}."""
        return {(it["labels"]["job"], it["labels"]["instance"]): it["health"] for it in self.query_api("targets")["activeTargets"]}

    def value(self, query):
        """Returns the current value of a query with one series, None without a series."""
        found = self.query_api("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def alert_state(self, name):
        """Returns the state of an alert in Prometheus: pending, firing or None."""
        states = {it["state"] for it in self.query_api("alerts")["alerts"] if it["labels"]["alertname"] == name}
        return "firing" if "firing" in states else next(iter(states), None)

    def alertmanager_alerts(self, name):
        """Returns the alerts with this name in Alertmanager."""
        return [it for it in fetch(f"{self.alertmanager}/api/v2/alerts") if it["labels"]["alertname"] == name]
