"""Checks the command lines of runbooks against the programs' own descriptions, without executing them."""

import contextlib
import functools
import io
import os
import pathlib
import re
import shutil
import subprocess
from unittest import mock

from awscli.clidriver import create_clidriver

# A stub for a program. It records the folder, its name and its arguments.
RECORDER = """#!/bin/bash
printf '%s\\037' "$PWD" "${0##*/}" "$@" $'\\036' >>"$CALLS"
"""
NO_ENDPOINT = {
    "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "ap-northeast-2", "AWS_CONFIG_FILE": os.devnull,
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1",
}  # fmt: skip


def calls(recorded):
    """The recorded calls: folder, program and arguments of each."""
    for record in recorded.split("\036\037")[:-1]:
        folder, program, *arguments = record.split("\037")[:-1]
        yield folder, program, arguments


def call_error(folder, program, arguments):
    """The error of an invalid call, or an empty string."""
    check = {"aws": aws, "terraform": terraform}.get(program)
    return check(folder, arguments) if check else ""


@functools.cache
def driver():
    """The AWS CLI in this process, because starting it takes a second."""
    return create_clidriver()


def aws(folder, arguments):
    """Runs the CLI, which validates a request against AWS's own description before it sends it. The endpoint does not exist."""
    with mock.patch.dict(os.environ, NO_ENDPOINT), contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as stderr:
        with contextlib.suppress(SystemExit):
            driver().main(arguments)
    return "" if "Could not connect to the endpoint URL" in stderr.getvalue() else f"aws {' '.join(arguments)}: {stderr.getvalue()}"


@functools.cache
def usage(*command):
    """Terraform's help for a command."""
    return subprocess.run([shutil.which("terraform"), *command, "-help"], text=True, capture_output=True).stdout


def terraform(folder, arguments):
    """Checks that the command's help lists each flag, and that each -var is a variable of the folder."""
    command = arguments[: 2 if arguments[0] == "state" else 1]
    # apply and destroy take the options of plan too.
    known = usage(*command) + (usage("plan") if command[0] in ["apply", "destroy"] else "")
    if "Usage:" not in usage(*command):
        return f"terraform has no {' '.join(command)}"
    for flag in [argument.split("=")[0] for argument in arguments if argument.startswith("-")]:
        if not re.search(rf"(?<![\w-]){flag}(?![\w-])", known):
            return f"terraform {' '.join(command)} has no {flag}"
    declared = pathlib.Path(folder, "variables.tf")
    for before, argument in zip(arguments, arguments[1:]):
        if before == "-var" and f'variable "{argument.split("=")[0]}"' not in declared.read_text():
            return f"{folder} has no variable {argument}"
    return ""
