"""The runbooks: every command has the options that it is given, every setting that is shown can be planned, every link leads
somewhere."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from commands import RECORDER, calls, complaint
from environments import TERRAFORM, plan, plan_with_file, resources

RUNBOOKS = sorted((TERRAFORM / "runbooks").glob("*.md"))
LINKED = [*RUNBOOKS, *(file for file in TERRAFORM.rglob("README.md") if ".terraform" not in file.parts)]

# They would do something; what stands in their place writes down the call.
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
        # What is waited for never comes here.
        (self.folder / "bin" / "sleep").write_text("#!/bin/sh\nexit 1\n")
        (self.folder / "bin" / "sleep").chmod(0o755)

    def complaints(self, block, known):
        """What is wrong with a block of commands, in a folder that has the files that they are about."""
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
        wrong = [complaint(*call) for call in calls(called.read_text())]
        return [said for said in [done.stderr if done.returncode else "", *wrong] if said]

    def test_commands_have_the_options_that_they_are_given(self):
        for file in RUNBOOKS:
            known = []
            for block in blocks(file, "sh"):
                with self.subTest(file.name, block=block):
                    self.assertEqual(self.complaints(block, known), [])
                # What a block defines is there in those that follow.
                known += re.findall(r"(?m)^\w+\(\) \{.*\}$", block)

    def test_it_would_notice(self):
        for command in [
            "terraform apply -lock-time=5m",
            "terraform aply",
            "terraform apply -var enable_elb=true",
            "aws s3api get-object --bucket x --keys y z",
            "aws autoscaling begin-instance-refresh --auto-scaling-group-name x",
        ]:
            with self.subTest(command):
                self.assertEqual(len(self.complaints(command, [])), 1)

    def test_settings_that_are_shown_can_be_planned(self):
        shown = [(file, block) for file in RUNBOOKS for block in blocks(file, "hcl")]
        self.assertGreater(len(shown), 5)
        for file, block in shown:
            with self.subTest(file.name, block=block):
                described = plan("dev", enable_alb=True) if block.strip() == "enable_alb = true" else plan_with_file("prod", block)
                self.assertTrue(resources(described))

    def test_links_lead_somewhere(self):
        for file in LINKED:
            for link in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
                if not link.startswith("https:"):
                    with self.subTest(f"{file.relative_to(TERRAFORM)}: {link}"):
                        self.assertTrue((file.parent / link).exists())


if __name__ == "__main__":
    unittest.main()
