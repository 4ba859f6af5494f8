"""User data of the machines as Terraform renders it, and the parameters that generate their secrets."""

import functools
import json
import tempfile

from environments import PROJECT, TERRAFORM, cached, root, terraform

__all__ = ["PROJECT", "TERRAFORM", "password_requests", "user_data"]


@functools.cache
def user_data():
    """The user data by role: everything, front, worker, monitoring."""
    return rendered()["values"]["outputs"]["user_data"]["value"]


@functools.cache
def password_requests():
    """The arguments of Secrets Manager's GetRandomPassword, by the name of a secret's parameter."""
    words = {"password_length": "PasswordLength", "exclude_characters": "ExcludeCharacters", "include_space": "IncludeSpace"}
    words |= {f"exclude_{kind}": f"Exclude{kind.title()}" for kind in ["lowercase", "numbers", "punctuation", "uppercase"]}
    words |= {"require_each_included_type": "RequireEachIncludedType"}
    found = {}
    for module in modules(rendered()["values"]["root_module"]):
        resources = module.get("resources", [])
        names = {each["index"]: each["values"]["name"] for each in resources if each["address"].startswith(f"{module.get('address')}.aws_ssm_parameter") and "index" in each}
        for password in resources:
            if password["type"] == "aws_secretsmanager_random_password":
                found[names[password["index"]]] = {words[word]: value for word, value in password["values"].items() if word in words and value}
    return found


def modules(module):
    yield module
    for child in module.get("child_modules", []):
        yield from modules(child)


@functools.cache
def rendered():
    return cached("rendered", render)


def render():
    with tempfile.TemporaryDirectory() as folder:
        state = f"-state={folder}/state"
        terraform(root("rendered"), "apply", "-auto-approve", "-no-color", state)
        return json.loads(terraform(root("rendered"), "show", "-no-color", "-json", f"{folder}/state").stdout)
