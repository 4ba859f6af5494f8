"""Consecutive applies of an environment, with a separate state and a log of the operations in their order."""

import json
import os
import pathlib
import tempfile

from environments import flags, root, terraform


class Environment:
    """An environment that is applied repeatedly with different values."""

    def __init__(self, name):
        self.folder = root(name)
        self.state = tempfile.TemporaryDirectory(prefix=f"{name}-")
        self.log = pathlib.Path(os.environ["APPLY_LOG"])

    def arguments(self, variables):
        return ["-input=false", "-no-color", f"-state={self.state.name}/terraform.tfstate", *flags(variables)]

    def apply(self, *flags, **variables):
        """Applies, and returns the operations in their order: (operation, type, name)."""
        before = self.log.stat().st_size
        terraform(self.folder, "apply", "-auto-approve", *flags, *self.arguments(variables))
        with self.log.open() as log:
            log.seek(before)
            steps = [json.loads(line) for line in log]
        return [(step["op"], step["type"], step["name"]) for step in steps]

    def remaining_changes(self, **variables):
        """The changes in a second plan with the same values."""
        done = terraform(self.folder, "plan", "-detailed-exitcode", *self.arguments(variables), check=False)
        assert done.returncode in (0, 2), done.stderr
        return [] if done.returncode == 0 else [line.strip() for line in done.stdout.splitlines() if line.lstrip().startswith("# ")]
