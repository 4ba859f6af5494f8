"""Tests the move from a single machine to auto scaling groups: the runbook's own commands copy and compare votes between two queues and
two stores, with ballots still in the queue, and no accepted vote is lost."""

import http.cookies
import json
import os
import pathlib
import re
import secrets
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

from environments import PROJECT, TERRAFORM

RUNBOOK = (TERRAFORM / "runbooks/move-to-fleet.md").read_text()
# Tag of the images under test (docker compose build with this TAG).
TAG = os.environ.get("TAG", "under-test")
# In seconds, for operations that take a few seconds on an idle machine.
TIMEOUT = 120
COOKIE_KEY = secrets.token_hex(64)
PASSWORD = secrets.token_hex(12)
PERMISSIONS = re.search(r"(?m)^user worker on #.* (resetchannels .*)$", (PROJECT / "infra/compose/make-secrets").read_text())[1]


def docker(*command, check=True):
    done = subprocess.run(["docker", *command], text=True, capture_output=True)
    assert not check or done.returncode == 0, f"docker {' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def until(what, condition):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {TIMEOUT} s"
        time.sleep(0.2)


def image(name):
    """The image with this name in the compose stack."""
    return re.search(rf"(?m)^    image: ({name}:\S+)$", (PROJECT / "docker-compose.yml").read_text())[1]


def block(title, number):
    """A block of commands in a section of the runbook."""
    section = re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", RUNBOOK)[1]
    return re.findall(r"(?ms)^```sh\n(.*?)^```$", section)[number]


class Side:
    """An environment: a queue, a store with the roles of the compose stack, and the services."""

    def __init__(self, name):
        self.name = f"move-{name}-{secrets.token_hex(4)}"

    def create(self):
        docker("network", "create", self.name)
        self.run("db", "--env=POSTGRES_PASSWORD=none", "--tmpfs=/run/secrets/db", f"--volume={PROJECT}/infra/compose/roles.sql:/roles.sql:ro", "--publish=127.0.0.1::5432", image("postgres"), "postgres", "-c", "fsync=off")
        # The worker has the same permissions as in the compose stack.
        self.run("redis", image("redis"), "redis-server", "--user", "worker", "on", f">{PASSWORD}", *PERMISSIONS.split(), "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction")

    def run(self, service, *arguments):
        docker("run", "--detach", "--name", f"{self.name}-{service}", "--network", self.name, "--network-alias", service, *arguments)

    def port(self, service, port):
        return docker("port", f"{self.name}-{service}", str(port)).rpartition(":")[2]

    def start(self):
        db = f"{self.name}-db"
        until("store", lambda: subprocess.run(["docker", "exec", db, "pg_isready", "--host=127.0.0.1", "--username=postgres"], capture_output=True).returncode == 0)
        docker("exec", db, "sh", "-c", f"cd /run/secrets/db && for role in worker result; do printf {PASSWORD} >$role-password; done && psql --username=postgres --no-psqlrc --quiet --file=/roles.sql")
        self.url = f"postgres://worker:{PASSWORD}@127.0.0.1:{self.port('db', 5432)}/postgres?sslmode=disable"
        self.services()

    def services(self):
        inside = f"postgres://worker:{PASSWORD}@db:5432/postgres?sslmode=disable"
        self.run("worker", "--env=QUEUE_URL=redis://redis:6379", f"--env=DATABASE_URL={inside}", "--env=STORE_TIMEOUT=60s", f"voting-app/worker:{TAG}")
        self.run("vote", "--env=QUEUE_URL=redis://redis:6379", f"--env=COOKIE_KEY={COOKIE_KEY}", "--publish=127.0.0.1::8080", f"voting-app/vote:{TAG}")
        self.wait_ready()

    def wait_ready(self):
        for service in ["worker", "vote"]:
            until(service, lambda: subprocess.run(["docker", "exec", f"{self.name}-{service}", service, "healthcheck", "--ready"], capture_output=True).returncode == 0)

    def reset(self):
        """Removes all votes, and starts all services."""
        self.sql("TRUNCATE votes, dead_letters")
        docker("start", f"{self.name}-vote")
        self.wait_ready()

    def remove(self):
        for service in ["vote", "worker", "redis", "db"]:
            docker("rm", "--force", "--volumes", f"{self.name}-{service}", check=False)
        docker("network", "rm", self.name, check=False)

    def vote(self, choice, cookie=None):
        """Votes, and returns the voter's cookie."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port('vote', 8080)}/api/votes", json.dumps({"choice": choice}).encode(), {"Content-Type": "application/json"})
        if cookie:
            request.add_header("Cookie", cookie)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            assert response.status == 202
            given = http.cookies.SimpleCookie(response.headers["Set-Cookie"])
        return "; ".join(f"{name}={value.coded_value}" for name, value in given.items())

    def sql(self, command):
        return docker("exec", f"{self.name}-db", "psql", "--username=postgres", "--no-psqlrc", "--tuples-only", "--no-align", f"--command={command}")

    def last_id(self):
        """The time of the queue's last id."""
        info = docker("exec", f"{self.name}-redis", "redis-cli", "XINFO", "STREAM", "ballots").split()
        return int(info[info.index("last-generated-id") + 1].partition("-")[0])

    def tally(self):
        return dict(line.split("|") for line in self.sql("SELECT option, votes FROM tally WHERE votes > 0").splitlines())


@unittest.skipUnless(docker("images", "--quiet", f"voting-app/worker:{TAG}", check=False), "there are no images of the services")
class Move(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.old, cls.new = Side("old"), Side("new")
        for side in [cls.old, cls.new]:
            cls.addClassCleanup(side.remove)
            side.create()
        for side in [cls.old, cls.new]:
            side.start()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "secrets.env").write_text(f"WORKER_REDIS_PASSWORD={PASSWORD}\n")
        for side in [self.old, self.new]:
            side.reset()

    def bash(self, script):
        # Stubs for `compose` and `systemctl` on the old machine.
        stubs = f"""set -euo pipefail
systemctl() {{ echo "$@" >>systemctl.log; }}
compose() {{
  case $* in
    "stop vote") docker stop {self.old.name}-vote ;;
    "exec -T --env REDISCLI_AUTH="*) docker exec "$3" "$4" {self.old.name}-redis "${{@:6}}" ;;
    "exec -T worker worker "*) docker exec {self.old.name}-worker worker "${{@:5}}" ;;
    *) echo "compose $*" >&2; return 1 ;;
  esac
}}
"""
        script = re.sub(r"(?m)^compose\(\) .*\n", "", script)
        script = script.replace("ghcr.io/example/voting-app/worker:0.1.0", f"voting-app/worker:{TAG}").replace("voting-app-db-1", f"{self.old.name}-db")
        environment = {**os.environ, "OLD": self.old.url, "NEW": self.new.url}
        done = subprocess.run(["bash", "-c", stubs + script], cwd=self.folder, env=environment, text=True, capture_output=True, timeout=TIMEOUT)
        return done.returncode, done.stdout, done.stderr

    def assert_done(self, script):
        code, out, errors = self.bash(script)
        self.assertEqual(code, 0, out + errors)
        return out

    def test_no_accepted_vote_is_lost(self):
        voter = self.old.vote("a")
        for _ in range(20):
            self.old.vote("b")
        until("ballots", lambda: self.old.tally() == {"a": "1", "b": "20"})
        # Dead letters are moved too.
        docker("exec", f"{self.old.name}-redis", "redis-cli", "XADD", "ballots", "*", "voter", "0123", "choice", "none")
        until("a dead letter", lambda: self.old.sql("SELECT count(*) FROM dead_letters") == "1")

        # Thirty votes are accepted but not yet counted when the voting page stops.
        docker("pause", f"{self.old.name}-worker")
        for _ in range(30):
            self.old.vote("a")
        threading.Timer(8, docker, ["unpause", f"{self.old.name}-worker"]).start()
        stop = "Stop voting and drain the queue"
        self.assert_done(block(stop, 0) + block(stop, 1) + block(stop, 2))
        self.assertEqual((self.folder / "systemctl.log").read_text(), "stop voting-app-watch\n")
        self.assertEqual(self.old.tally(), {"a": "31", "b": "20"})

        self.old.sql("INSERT INTO polls (id, question, options, results) VALUES ('earlier', 'Tea?', 'a=Yes,b=No', 'live')")
        # The old queue's clock was ahead of the new one's by half a minute.
        self.old.sql("UPDATE votes SET cast_ms = cast_ms + 30000")
        self.assert_done(block("Copy", 3))
        out = self.assert_done(block("Compare", 0))
        self.assertEqual(out.split()[-1], "52")
        self.assertEqual(self.new.tally(), {"a": "31", "b": "20"})
        self.assertEqual(self.new.sql("SELECT question FROM polls ORDER BY id"), self.old.sql("SELECT question FROM polls ORDER BY id"))

        # New workers, as in the runbook; they raise the queue's last id to the time of the newest vote.
        newest = int(self.new.sql("SELECT max(cast_ms) FROM votes"))
        docker("restart", f"{self.new.name}-worker")
        until("the queue's ids", lambda: self.new.last_id() > newest)
        # The voter is identified, and the newer vote replaces the older one.
        self.new.vote("b", voter)
        until("the new vote", lambda: self.new.tally() == {"a": "30", "b": "21"})

    def test_a_difference_is_detected(self):
        self.old.vote("a")
        until("ballot", lambda: self.old.tally() == {"a": "1"})
        self.new.vote("b")
        until("ballot", lambda: self.new.tally() == {"b": "1"})
        self.assert_done(block("Copy", 3))
        code, out, _ = self.bash(block("Compare", 0))
        self.assertNotEqual(code, 0)
        self.assertRegex(out, "(?m)^> .*,b,")

    def test_a_failed_copy_changes_nothing(self):
        for _ in range(5):
            self.old.vote("a")
        until("ballots", lambda: self.old.tally() == {"a": "5"})
        self.assert_done(block("Copy", 3))
        self.old.vote("b")
        until("ballots", lambda: self.old.tally() == {"a": "5", "b": "1"})
        code, _, errors = self.bash(block("Copy", 3))
        self.assertNotEqual(code, 0)
        self.assertIn("duplicate key", errors)
        self.assertEqual(self.new.tally(), {"a": "5"})


if __name__ == "__main__":
    unittest.main()
