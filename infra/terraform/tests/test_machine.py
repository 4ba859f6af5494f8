"""Tests failures of a machine's boot, its watchdog and its logins to registries, with stubs for Docker, systemd, AWS's CLI and sleep."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from environments import TERRAFORM

FILES = TERRAFORM / "modules/compute/files"
INSTANCE = "i-0123456789abcdef0"

# Behaviour of the Docker stub for each failure.
DOCKER = {
    "healthy": 'case $* in *" ps --quiet "*) echo container ;; esac',
    "no engine": "exit 1",
    "an engine that hangs": "/bin/sleep 300",
    "no container": "true",
    "a list of containers that hangs": 'case $* in *" ps "*) /bin/sleep 300 ;; esac',
    "a service that hangs": 'case $* in *" ps --quiet "*) echo container ;; exec*) /bin/sleep 300 ;; esac',
    "a service that is not healthy": 'case $* in *" ps --quiet "*) echo container ;; exec*) exit 1 ;; esac',
}


class Machine:
    def __init__(self, docker="healthy", **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="machine-"))
        self.stubs = self.folder / "stubs"
        self.stubs.mkdir()
        shutil.copytree(FILES, self.folder / "bin")
        for program in (self.folder / "bin").iterdir():
            program.chmod(0o755)
        self.calls = self.folder / "calls"
        self.calls.touch()
        settings = {"NAME": "voting-app-test", "SERVICES": "vote result", "EXPORTERS": "", "GROUP": "a-group", "ROLE": "front", "ENVIRONMENT": "test", "SETTINGS_PARAMETER": "/settings", "BOOT_SECONDS": 600} | settings
        (self.folder / "machine.env").write_text("".join(f"export {name}='{value}'\n" for name, value in settings.items()))
        self.program("stubs/docker", DOCKER[docker])
        self.program("stubs/systemctl", "")
        self.program("stubs/sleep", "exec /bin/sleep 0.02")
        self.program("stubs/aws", 'case $* in *get-parameter*) echo 7 ;; esac')
        self.program("bin/metadata", f'case $1 in instance-id) echo {INSTANCE} ;; *) echo InService ;; esac')
        for step in ["install", "secrets", "start"]:
            self.program(f"bin/{step}", "")

    def program(self, name, does):
        """Writes a stub that records its call and then runs these commands."""
        file = self.folder / name
        file.write_text(f'#!/bin/bash\necho "{file.name} $*" >>{self.calls}\n{does}\n')
        file.chmod(0o755)

    def start(self, name):
        environment = {**os.environ, "PATH": f"{self.stubs}:{os.environ['PATH']}", "WATCH_TIMEOUT": "0.5"}
        return subprocess.Popen(["bash", self.folder / "bin" / name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def called(self):
        return self.calls.read_text().splitlines()

    def until(self, wanted, seconds=30):
        """Waits for a call that contains this text."""
        end = time.monotonic() + seconds
        while not any(wanted in call for call in self.called()):
            assert time.monotonic() < end, f"{wanted!r} is not among {self.called()[-20:]}"
            time.sleep(0.05)

    def watch(self, test):
        (self.folder / "started").touch()
        watch = self.start("watch")

        def end():
            subprocess.run(["pkill", "--session", str(watch.pid)], capture_output=True)
            watch.communicate()

        test.addCleanup(end)

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Watch(unittest.TestCase):
    def machine(self, *arguments, **settings):
        machine = Machine(*arguments, **settings)
        self.addCleanup(machine.remove)
        machine.watch(self)
        return machine

    def test_any_failure_of_services_or_docker_replaces_the_machine(self):
        machines = {failure: self.machine(failure) for failure in DOCKER if failure != "healthy"}
        for failure, machine in machines.items():
            with self.subTest(failure):
                machine.until(f"set-instance-health --instance-id {INSTANCE} --health-status Unhealthy")

    def test_a_machine_with_healthy_services_is_not_replaced(self):
        machine = self.machine()
        # Each service is checked in every round.
        machine.until("docker exec container result healthcheck")
        while sum("docker exec container result" in call for call in machine.called()) < 12:
            time.sleep(0.05)
        self.assertFalse([call for call in machine.called() if "set-instance-health" in call or "put-metric-data" in call])

    def test_a_single_machine_reports_that_it_is_alive(self):
        self.machine(GROUP="").until("put-metric-data --namespace VotingApp --metric-name Alive --unit Count --dimensions Machine=voting-app-test --value 1")

    def test_a_single_machine_with_a_failure_restarts_services_and_does_not_report(self):
        for failure, first in [("no engine", "systemctl restart docker"), ("no container", "start "), ("a service that hangs", "restart vote result")]:
            with self.subTest(failure):
                machine = self.machine(failure, GROUP="")
                machine.until(first)
                machine.until("start ")
                self.assertFalse([call for call in machine.called() if "metric-name Alive" in call])

    def test_a_single_machine_applies_new_settings(self):
        machine = Machine(GROUP="")
        self.addCleanup(machine.remove)
        (machine.folder / "settings.version").write_text("6\n")
        machine.program("bin/secrets", f"echo 7 >{machine.folder}/settings.version")
        machine.watch(self)
        machine.until("start ")
        self.assertLess(machine.called().index("secrets "), machine.called().index("start "))
        before = sum("get-parameter" in call for call in machine.called())
        while sum("get-parameter" in call for call in machine.called()) < before + 2:
            time.sleep(0.05)
        self.assertEqual(machine.called().count("start "), 1, "it must apply them once")


class Boot(unittest.TestCase):
    def boot(self, machine):
        self.addCleanup(machine.remove)
        booting = machine.start("boot")
        output, _ = booting.communicate(timeout=60)
        return booting.returncode, output

    def test_failed_steps_are_retried(self):
        for step in ["install", "secrets", "start"]:
            with self.subTest(step):
                machine = Machine()
                machine.program(f"bin/{step}", f"[[ $(grep --count '^{step} ' {machine.calls}) -ge 8 ]]")
                code, output = self.boot(machine)
                self.assertEqual(code, 0, output)
                self.assertTrue((machine.folder / "started").exists())
                self.assertIn("--lifecycle-hook-name ready --lifecycle-action-result CONTINUE", machine.called()[-1])

    def test_a_machine_that_does_not_get_ready_is_abandoned(self):
        for failure in ["exit 1", "/bin/sleep 300"]:
            with self.subTest(failure):
                machine = Machine(BOOT_SECONDS=32)
                machine.program("bin/start", failure)
                code, output = self.boot(machine)
                self.assertEqual(code, 1)
                self.assertIn("gave up at start", output)
                self.assertIn("--lifecycle-hook-name ready --lifecycle-action-result ABANDON", machine.called()[-1])
                self.assertFalse((machine.folder / "started").exists())


class Images(unittest.TestCase):
    """Logins of a machine to its image registry."""

    def machine(self, program, **settings):
        machine = Machine(**settings)
        self.addCleanup(machine.remove)
        shutil.copy(FILES / program, machine.folder / "bin" / program)
        for file in ["deployment.env", "secrets.list"]:
            (machine.folder / file).touch()
        return machine

    def secrets(self, machine, pull_secret):
        (machine.folder / "secrets.list").write_text("registry:ghcr.io /the/pull-secret {}\n")
        machine.program("stubs/aws", f"case $* in *--name\\ /the/pull-secret*) echo '{pull_secret}' ;; *) echo 7 ;; esac")
        running = machine.start("secrets")
        output, _ = running.communicate(timeout=60)
        return running.returncode, output, machine.folder / "docker" / "config.json"

    def test_a_pull_secret_becomes_a_login_that_only_root_can_read(self):
        code, output, config = self.secrets(self.machine("secrets"), "robot:a-token:with=signs")
        self.assertEqual(code, 0, output)
        auth = base64.b64encode(b"robot:a-token:with=signs").decode()
        self.assertEqual(json.loads(config.read_text()), {"auths": {"ghcr.io": {"auth": auth}}})
        self.assertEqual([f"{path.stat().st_mode & 0o777:o}" for path in [config, config.parent]], ["600", "700"])

    def test_without_a_pull_secret_there_is_no_login(self):
        machine = self.machine("secrets")
        self.secrets(machine, "robot:a-token")
        code, output, config = self.secrets(machine, "none")
        self.assertEqual(code, 0, output)
        self.assertFalse(config.exists(), "the previous login was not removed")

    def test_a_pull_secret_without_a_user_is_rejected(self):
        code, output, config = self.secrets(self.machine("secrets"), "a-token")
        self.assertEqual(code, 1)
        self.assertIn("the pull secret of ghcr.io must be USER:TOKEN, or none for public images", output)
        self.assertNotIn("a-token", output)
        self.assertFalse(config.exists())

    def test_a_machine_logs_in_to_ecr_before_it_pulls(self):
        host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
        machine = self.machine("start", ECR_REGISTRY=host, ECR_REGION="eu-central-1")
        machine.program("stubs/aws", "case $* in *get-login-password*) echo a-password ;; esac")
        machine.program("stubs/docker", f'case $* in login*) cat >{machine.folder}/password ;; esac; echo "config $DOCKER_CONFIG" >>{machine.calls}')
        running = machine.start("start")
        output, _ = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 0, output)
        called = [call for call in machine.called() if not call.startswith("config ")]
        self.assertIn("aws ecr get-login-password --region eu-central-1", called)
        pull = next(position for position, call in enumerate(called) if " pull " in call)
        self.assertLess(called.index(f"docker login --username AWS --password-stdin {host}"), pull)
        self.assertEqual((machine.folder / "password").read_text(), "a-password\n")
        self.assertEqual({call for call in machine.called() if call.startswith("config ")}, {f"config {machine.folder}/docker"})

    def test_a_failed_login_is_reported_and_fails(self):
        machine = self.machine("start", ECR_REGISTRY="123456789012.dkr.ecr.eu-central-1.amazonaws.com", ECR_REGION="eu-central-1")
        machine.program("stubs/aws", "echo no credentials >&2; exit 255")
        running = machine.start("start")
        output, _ = running.communicate(timeout=60)
        self.assertNotEqual(running.returncode, 0)
        self.assertIn("no credentials", output)
        self.assertFalse([call for call in machine.called() if " pull " in call])


if __name__ == "__main__":
    unittest.main()
