"""Plans of the environments, from a copy of the root modules with a local state.

A plan with the same files and values is made once and cached in target/plans, for all tests in all processes."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

TERRAFORM = pathlib.Path(__file__).parent.parent
PROJECT = TERRAFORM.parent.parent
PLANS = PROJECT / "target" / "plans"
ENVIRONMENTS = ["dev", "staging", "prod"]
# A network created outside of the environment.
EXISTING_NETWORK = {
    "vpc_id": "vpc-0123456789abcdef0",
    "cidr": "10.77.0.0/16",
    "zones": {
        "us-east-1c": {"public": "subnet-000000c1", "private": "subnet-000000c2", "data": "subnet-000000c3"},
        "us-east-1d": {"public": "subnet-000000d1", "private": "subnet-000000d2", "data": "subnet-000000d3"},
    },
}
# The real provider cannot plan without an account.
CAN_PLAN = os.environ.get("CAN_PLAN", "true") == "true"


def terraform(folder, *arguments, check=True):
    """Runs Terraform in a folder. With `check`, it must succeed."""
    done = subprocess.run(["terraform", f"-chdir={folder}", *arguments], text=True, capture_output=True)
    assert not check or done.returncode == 0, f"terraform {' '.join(arguments)} in {folder}:\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return done


@functools.cache
def copy():
    """A copy of all files that the root modules refer to."""
    folder = tempfile.TemporaryDirectory(prefix="environments-")
    project = pathlib.Path(folder.name)
    ignored = shutil.ignore_patterns(".terraform", "__pycache__", "*.py", "*.tftest.hcl")
    for part in [TERRAFORM, *(child for child in TERRAFORM.parent.iterdir() if child.name != "terraform")]:
        shutil.copytree(part, project / "infra" / part.name, ignore=ignored)
    shutil.copy(PROJECT / "docker-compose.yml", project)
    return folder


@functools.cache
def root(name):
    """The folder of a root module, such as an environment, initialized with a local state."""
    if not CAN_PLAN:
        raise unittest.SkipTest("the provider plans nothing without an account")
    inputs()  # before anything is added to the copy
    parent = {"backend-setup": ".", "rendered": "tests"}.get(name, "environments")
    folder = pathlib.Path(copy().name) / "infra/terraform" / parent / name
    (folder / "state_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    terraform(folder, "init", "-input=false", "-no-color")
    return folder


@functools.cache
def inputs():
    """A digest of the inputs of a plan except for its values: files, Terraform itself, and the provider."""
    digest = hashlib.sha256(subprocess.run(["terraform", "version", "-json"], capture_output=True, check=True).stdout)
    digest.update(os.environ.get("PROVIDER_DIGEST", "").encode())
    project = pathlib.Path(copy().name)
    for file in sorted(path for path in project.rglob("*") if path.is_file() and ".terraform" not in path.parts and path.name != "state_override.tf"):
        digest.update(str(file.relative_to(project)).encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def locked(file):
    """An exclusive lock between processes."""
    with open(file, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(name, make):
    """The result of `make`, as JSON, cached for these inputs. Results for other inputs are removed."""
    if not CAN_PLAN:
        raise unittest.SkipTest("the provider plans nothing without an account")
    file = PLANS / inputs() / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.with_suffix(".lock")):
        if not file.exists():
            new = file.with_suffix(".new")
            new.write_text(json.dumps(make()))
            new.rename(file)
            for old in PLANS.iterdir():
                if old != file.parent:
                    shutil.rmtree(old, ignore_errors=True)
        return json.loads(file.read_text())


def flags(variables):
    return [f"-var={name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in variables.items()]


def make_plan(environment, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/plan"
        terraform(root(environment), "plan", "-input=false", "-no-color", "-lock=false", f"-out={file}", *arguments)
        return json.loads(terraform(root(environment), "show", "-json", file).stdout)


def make_plan_errors(environment, *arguments):
    done = terraform(root(environment), "plan", "-input=false", "-no-color", "-lock=false", *arguments, check=False)
    assert done.returncode == 1, f"{environment} was planned with {arguments}"
    return " ".join(word for word in done.stderr.split() if word != "│")


@functools.cache
def plan_of(environment, settings):
    return cached(f"plan {environment} {settings}", lambda: make_plan(environment, *flags(json.loads(settings))))


def plan(environment, **variables):
    """The plan in Terraform's JSON format."""
    return plan_of(environment, json.dumps(variables, sort_keys=True))


def plan_with_file(environment, content):
    """The plan with a variables file of this content."""

    def make():
        with tempfile.NamedTemporaryFile("w", suffix=".tfvars") as file:
            file.write(content)
            file.flush()
            return make_plan(environment, f"-var-file={file.name}")

    return cached(f"plan {environment} with {content}", make)


def plan_errors(environment, **variables):
    """The error messages of a plan that fails."""
    return cached(f"errors {environment} {json.dumps(variables)}", lambda: make_plan_errors(environment, *flags(variables)))


def resources(described):
    """The managed resources of a plan: addresses, each with its known values."""
    return {change["address"]: change["change"]["after"] for change in described["resource_changes"] if change["mode"] == "managed"}
