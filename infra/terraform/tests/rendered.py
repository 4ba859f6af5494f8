"""What machines do when they start, as Terraform renders it."""

import functools
import json
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
TERRAFORM = HERE.parent
PROJECT = TERRAFORM.parent.parent


def terraform(folder, *arguments, **options):
    """Runs Terraform in a folder and returns what it prints; fails with its message."""
    done = subprocess.run(
        ["terraform", f"-chdir={folder}", *arguments], text=True, capture_output=True, **{"check": False, **options}
    )
    assert done.returncode == 0, f"terraform {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def user_data():
    """The scripts by role: everything, front, worker, monitoring."""
    with tempfile.TemporaryDirectory() as folder:
        state = f"{folder}/state"
        terraform(HERE / "rendered", "init", "-input=false", "-no-color")
        terraform(HERE / "rendered", "apply", "-auto-approve", "-no-color", f"-state={state}")
        return json.loads(terraform(HERE / "rendered", "output", "-no-color", "-json", f"-state={state}", "user_data"))
