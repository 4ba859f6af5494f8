"""Checks the runbooks: every command has valid options, every setting can be planned, every link is valid."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from commands import RECORDER, call_error, calls
from environments import TERRAFORM, plan, plan_with_file, resources

RUNBOOKS = sorted((TERRAFORM / "runbooks").glob("*.md"))
LINKED = [*RUNBOOKS, *(file for file in TERRAFORM.rglob("README.md") if ".terraform" not in file.parts)]

# Programs with side effects, replaced by a stub that records the call.
PROGRAMS = ["aws", "terraform", "docker", "cosign", "git", "verify", "systemctl"]


def blocks(file, language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", file.read_text())


class Runbooks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "bin").mkdir()
        for program in PROGRAMS:
            (self.folder / "bin" / program).write_text(RECORDER)
            (self.folder / "bin" / program).chmod(0o755)
        # Loops that wait end at once.
        (self.folder / "bin" / "sleep").write_text("#!/bin/sh\nexit 1\n")
        (self.folder / "bin" / "sleep").chmod(0o755)

    def block_errors(self, block, known):
        """The errors of a block of commands, run in a folder with the files that it needs."""
        at = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "environments" / "dev"
        source = TERRAFORM / ("backend-setup" if "github_repository" in block else "environments/dev")
        shutil.copytree(source, at, ignore=shutil.ignore_patterns(".terraform"))
        for name in ["backend.tf.example", "terraform.tfstate", "terraform.tfstate.backup", "older.tfstate", "adopt.tf", "before.csv", "secrets.env"]:
            (at / name).touch()
        shutil.copy(self.folder / "bin" / "verify", at.parent.parent)
        shutil.copy(self.folder / "bin" / "verify", at / "newest-image")
        # From backend-setup the environments are at ../environments.
        (at.parent / "environments").mkdir()
        script = "\n".join(["set -euo pipefail", "cd() { :; }", *known, block])
        called = at / "calls"
        called.touch()
        environment = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "HOME": str(self.folder), "CALLS": str(called), "BUCKET": "the-state", "VERSION": "a-version", "OLD": "postgres://old", "NEW": "postgres://new"}
        done = subprocess.run(["bash", "-c", script], cwd=at, env=environment, text=True, capture_output=True)
        errors = [call_error(*call) for call in calls(called.read_text())]
        return [error for error in [done.stderr if done.returncode else "", *errors] if error]

    def test_commands_have_valid_options(self):
        for file in RUNBOOKS:
            known = []
            for block in blocks(file, "sh"):
                with self.subTest(file.name, block=block):
                    self.assertEqual(self.block_errors(block, known), [])
                # Later blocks use functions of earlier ones.
                known += re.findall(r"(?m)^\w+\(\) \{.*\}$", block)

    def test_invalid_commands_are_detected(self):
        for command in [
            "terraform apply -lock-time=5m",
            "terraform aply",
            "terraform apply -var enable_elb=true",
            "aws s3api get-object --bucket x --keys y z",
            "aws autoscaling begin-instance-refresh --auto-scaling-group-name x",
        ]:
            with self.subTest(command):
                self.assertEqual(len(self.block_errors(command, [])), 1)

    def test_settings_can_be_planned(self):
        shown = [(file, block) for file in RUNBOOKS for block in blocks(file, "hcl")]
        self.assertGreater(len(shown), 5)
        for file, block in shown:
            with self.subTest(file.name, block=block):
                described = plan("dev", enable_alb=True) if block.strip() == "enable_alb = true" else plan_with_file("prod", block)
                self.assertTrue(resources(described))

    def test_links_are_valid(self):
        for file in LINKED:
            for link in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
                if not link.startswith("https:"):
                    with self.subTest(f"{file.relative_to(TERRAFORM)}: {link}"):
                        self.assertTrue((file.parent / link).exists())


if __name__ == "__main__":
    unittest.main()
