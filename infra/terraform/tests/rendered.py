"""What machines do when they start, as Terraform renders it."""

import functools
import json
import tempfile

from environments import PROJECT, TERRAFORM, made_once, root, terraform

__all__ = ["PROJECT", "TERRAFORM", "user_data"]


@functools.cache
def user_data():
    """The scripts by role: everything, front, worker, monitoring."""
    return made_once("user data", render)


def render():
    with tempfile.TemporaryDirectory() as folder:
        state = f"-state={folder}/state"
        terraform(root("rendered"), "apply", "-auto-approve", "-no-color", state)
        return json.loads(terraform(root("rendered"), "output", "-no-color", "-json", state, "user_data").stdout)
