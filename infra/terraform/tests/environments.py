"""What an environment would be made of: plans of the roots as they are, but for the state, which they keep beside them."""

import functools
import json
import pathlib
import shutil
import subprocess
import tempfile

TERRAFORM = pathlib.Path(__file__).parent.parent
PROJECT = TERRAFORM.parent.parent
ENVIRONMENTS = ["dev", "staging", "prod"]


def terraform(folder, *arguments, check=True):
    """Runs Terraform in a folder. Unless told otherwise, it must succeed."""
    done = subprocess.run(["terraform", f"-chdir={folder}", *arguments], text=True, capture_output=True)
    assert not check or done.returncode == 0, f"terraform {' '.join(arguments)} in {folder}:\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return done


@functools.cache
def copy():
    """A copy of all that roots refer to, in which the state is a file."""
    folder = tempfile.TemporaryDirectory(prefix="environments-")
    project = pathlib.Path(folder.name)
    shutil.copytree(TERRAFORM, project / "infra/terraform", ignore=shutil.ignore_patterns(".terraform", "__pycache__"))
    for beside in [child for child in TERRAFORM.parent.iterdir() if child.name != "terraform"]:
        shutil.copytree(beside, project / "infra" / beside.name)
    shutil.copy(PROJECT / "docker-compose.yml", project)
    return folder


@functools.cache
def root(name):
    """The folder of an environment, or of backend-setup, ready for a plan."""
    folder = pathlib.Path(copy().name) / "infra/terraform" / ("environments" if name in ENVIRONMENTS else "") / name
    (folder / "state_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    terraform(folder, "init", "-input=false", "-no-color")
    return folder


def refusal(environment, **variables):
    """What a plan says that is refused."""
    done = terraform(root(environment), "plan", "-input=false", "-no-color", "-lock=false", *flags(variables), check=False)
    assert done.returncode == 1, f"{environment} was planned with {variables}"
    return " ".join(word for word in done.stderr.split() if word != "│")


def flags(variables):
    return [f"-var={name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in variables.items()]


@functools.cache
def plan_of(environment, settings):
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/plan"
        terraform(root(environment), "plan", "-input=false", "-no-color", "-lock=false", f"-out={file}", *flags(json.loads(settings)))
        return json.loads(terraform(root(environment), "show", "-json", file).stdout)


def plan(environment, **variables):
    """The plan as Terraform tells it in JSON."""
    return plan_of(environment, json.dumps(variables))


def resources(described):
    """What would be made: addresses, each with its values as far as they are known."""
    return {change["address"]: change["change"]["after"] for change in described["resource_changes"] if change["mode"] == "managed"}
