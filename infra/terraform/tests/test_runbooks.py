"""The runbooks: every command has the options that it is given, every setting that is shown can be planned, every link leads
somewhere."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from environments import TERRAFORM, root, terraform

RUNBOOKS = sorted((TERRAFORM / "runbooks").glob("*.md"))
LINKED = [*RUNBOOKS, *(file for file in TERRAFORM.rglob("README.md") if ".terraform" not in file.parts)]

# They would do something; look.py stands in their place.
PROGRAMS = ["aws", "terraform", "docker", "cosign", "git"]


def blocks(file, language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", file.read_text())


class Runbooks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        look = (TERRAFORM / "tests/look.py").read_text()
        (self.folder / "bin").mkdir()
        for program in PROGRAMS:
            (self.folder / "bin" / program).write_text(f"#!{sys.executable}\n{look}")
            (self.folder / "bin" / program).chmod(0o755)

    def looked_at(self, block, known):
        """A block of commands, in a folder that has the files that they are about."""
        at = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "environments" / "dev"
        source = TERRAFORM / ("backend-setup" if "github_repository" in block else "environments/dev")
        shutil.copytree(source, at, ignore=shutil.ignore_patterns(".terraform"))
        for name in ["backend.tf.example", "terraform.tfstate", "terraform.tfstate.backup", "older.tfstate"]:
            (at / name).touch()
        # From backend-setup the environments are at ../environments.
        (at.parent / "environments").mkdir()
        script = "\n".join(["set -euo pipefail", "cd() { :; }", *known, block])
        path = f"{self.folder}/bin:{pathlib.Path(shutil.which('terraform')).parent}:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": str(self.folder), "BUCKET": "the-state", "VERSION": "a-version"}
        return subprocess.run(["bash", "-c", script], cwd=at, env=environment, text=True, capture_output=True)

    def test_commands_have_the_options_that_they_are_given(self):
        for file in RUNBOOKS:
            known = []
            for block in blocks(file, "sh"):
                with self.subTest(file.name, block=block):
                    done = self.looked_at(block, known)
                    self.assertEqual(done.returncode, 0, done.stderr)
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
                self.assertNotEqual(self.looked_at(command, []).returncode, 0)

    def test_settings_that_are_shown_can_be_planned(self):
        shown = [(file, block) for file in RUNBOOKS for block in blocks(file, "hcl")]
        self.assertGreater(len(shown), 5)
        for file, block in shown:
            environment = "dev" if block.strip() == "enable_alb = true" else "prod"
            with self.subTest(f"{file.name} in {environment}", block=block), tempfile.NamedTemporaryFile("w", suffix=".tfvars") as values:
                values.write(block)
                values.flush()
                planned = terraform(root(environment), "plan", "-input=false", "-no-color", "-lock=false", f"-var-file={values.name}")
                self.assertRegex(planned.stdout, r"Plan: \d+ to add")

    def test_links_lead_somewhere(self):
        for file in LINKED:
            for link in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
                if not link.startswith("https:"):
                    with self.subTest(f"{file.relative_to(TERRAFORM)}: {link}"):
                        self.assertTrue((file.parent / link).exists())


if __name__ == "__main__":
    unittest.main()
