"""In place of the program that it is called as: looks whether that would understand what it is asked, and does nothing."""

import os
import pathlib
import re
import subprocess
import sys


def aws(arguments):
    """The CLI checks a request against AWS's own description before it sends it: to nowhere, here."""
    program = pathlib.Path(sys.executable).with_name("aws")
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "ap-northeast-2"}
    environment = {**os.environ, **keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    told = subprocess.run([program, *arguments], env=environment, text=True, capture_output=True).stderr
    assert "Could not connect to the endpoint URL" in told, told


def terraform(arguments):
    """Each flag is one that the command's help knows, and each -var a variable of the folder."""
    command = arguments[: 2 if arguments[0] == "state" else 1]
    program = next(path for folder in os.environ["PATH"].split(":")[1:] if os.access(path := f"{folder}/terraform", os.X_OK))
    # apply and destroy take the options of plan too.
    told = [subprocess.run([program, *asked, "-help"], text=True, capture_output=True).stdout for asked in [command, ["plan"]]]
    assert "Usage:" in told[0], f"terraform has no {' '.join(command)}"
    known = "".join(told if command[0] in ["apply", "destroy"] else told[:1])
    for flag in [argument.split("=")[0] for argument in arguments if argument.startswith("-")]:
        assert re.search(rf"(?<![\w-]){flag}(?![\w-])", known), f"terraform {' '.join(command)} has no {flag}"
    for before, argument in zip(arguments, arguments[1:]):
        assert before != "-var" or re.search(rf'variable "{argument.split("=")[0]}"', pathlib.Path("variables.tf").read_text()), argument


def main(name, arguments):
    {"aws": aws, "terraform": terraform}.get(name, lambda _: None)(arguments)


main(pathlib.Path(sys.argv[0]).name, sys.argv[1:])
