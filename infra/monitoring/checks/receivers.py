#!/usr/bin/env python3
"""Checks that Alertmanager's configuration is valid and has exactly the configured receivers, for all combinations; that invalid
settings are rejected with a message that names the setting; and that the files of the compose stack have every secret and setting.

usage: receivers.py AMTOOL
"""

import itertools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from alerts import MONITORING, PROJECT

FOLDER = MONITORING / "alertmanager"
SMTP = {"ALERT_SMTP_SMARTHOST": "smtp.example.org:587", "ALERT_SMTP_FROM": "alerts@example.org"}
TOPIC = {"SNS_TOPIC": "arn:aws:sns:eu-central-1:123456789012:alarms"}
# For each kind of receiver: (secrets, settings) that configure it for a severity.
KINDS = {
    "webhook": lambda severity: ({f"{severity}-url": "https://hook.example.org/a?b=c\n"}, {}),
    "slack": lambda severity: ({f"{severity}-slack-url": "https://hooks.slack.com/services/T0/B0/x"}, {}),
    "msteamsv2": lambda severity: ({f"{severity}-teams-url": "https://prod.westeurope.logic.azure.com:443/workflows/1?sig=%2F"}, {}),
    "pagerduty": lambda severity: ({f"{severity}-pagerduty-key": "0123456789abcdef0123456789abcdef\n"}, {}),
    "email": lambda severity: ({}, {f"ALERT_{severity.upper()}_EMAIL": "a@example.org, b+c@example.org", **SMTP}),
}
INVALID = [
    ({"page-url": "none"}, {}, "the secret page-url is not a URL that begins with https:// or http://"),
    ({"watchdog-url": "alive.example.org"}, {}, "the secret watchdog-url is not"),
    ({"ticket-slack-url": "https://hooks.slack.com/a b"}, {}, "the secret ticket-slack-url is not"),
    ({"page-teams-url": "https://a.example.org\nhttps://b.example.org"}, {}, "the secret page-teams-url is not"),
    ({"page-pagerduty-key": "a key"}, {}, "the secret page-pagerduty-key is not an integration key: letters, digits, _ and - only"),
    ({}, {"ALERT_PAGE_EMAIL": "a@example.org"}, "ALERT_PAGE_EMAIL needs ALERT_SMTP_SMARTHOST and ALERT_SMTP_FROM"),
    ({}, {"ALERT_TICKET_EMAIL": "ops", **SMTP}, "ALERT_TICKET_EMAIL is ops; it must be addresses such as"),
    ({}, {**SMTP, "ALERT_SMTP_SMARTHOST": "smtp.example.org"}, "ALERT_SMTP_SMARTHOST is smtp.example.org; it must be HOST:PORT"),
    ({}, {**SMTP, "ALERT_SMTP_FROM": "alerts"}, "ALERT_SMTP_FROM is alerts; it must be an address"),
    ({}, {**SMTP, "ALERT_SMTP_USERNAME": "alerts"}, "ALERT_SMTP_USERNAME is set, but the secret smtp-password is not"),
    ({"smtp-password": "x"}, {**SMTP, "ALERT_SMTP_USERNAME": "a b"}, "ALERT_SMTP_USERNAME is a b; it must have no space"),
    ({}, {"ALERT_SMTP_REQUIRE_TLS": "yes"}, "ALERT_SMTP_REQUIRE_TLS is yes; it must be true or false"),
    ({}, {"ALERT_PAGERDUTY_URL": "events.eu.pagerduty.com"}, "ALERT_PAGERDUTY_URL is events.eu.pagerduty.com; it must be a URL"),
    ({}, {"SNS_TOPIC": "alarms"}, "SNS_TOPIC is alarms; it must be an ARN"),
]


def run_receivers(secrets, settings):
    """Runs ./receivers with these secrets and settings; returns the exit code, stdout and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        for name, value in secrets.items():
            (Path(folder) / name).write_text(value)
        environment = {"PATH": os.environ["PATH"], "SECRETS_FOLDER": folder, **settings}
        done = subprocess.run(["sh", FOLDER / "receivers"], env=environment, capture_output=True, text=True)
        # Restore the folder of the container.
        return done.returncode, done.stdout.replace(folder, "/run/secrets/alertmanager"), done.stderr


def configuration(secrets, settings):
    """Returns Alertmanager's configuration with these secrets and settings, as ./start assembles it."""
    code, receivers, error = run_receivers(secrets, settings)
    assert code == 0, error
    return ((FOLDER / "alertmanager.yml").read_text() + receivers).replace("/etc/alertmanager/", f"{FOLDER}/")


def problems(amtool, severity, kinds, topic):
    secrets, settings = {"watchdog-url": "https://alive.example.org"}, dict(TOPIC if topic else {})
    for kind in kinds:
        for known, more in zip((secrets, settings), KINDS[kind](severity)):
            known.update(more)
    config = configuration(secrets, settings)
    what = f"{severity} by {', '.join(kinds) or 'nothing'}{' with a topic' if topic else ''}"
    checked = subprocess.run([amtool, "check-config", "/dev/stdin"], input=config, capture_output=True, text=True)
    if checked.returncode or "1 templates" not in checked.stdout:
        yield f"{what}: {checked.stdout}{checked.stderr}"
    receivers = {it["name"]: {key.removesuffix("_configs") for key in it if key != "name"} for it in yaml.safe_load(config)["receivers"]}
    other = {"page": "ticket", "ticket": "page"}[severity]
    default = {"sns"} if topic else set()
    expected = {severity: set(kinds) or default, other: default, "watchdog": {"webhook"}}
    if receivers != expected:
        yield f"{what}: the receivers are {receivers} instead of {expected}"


def differences_in_compose():
    """Yields a message for each file of the compose stack whose secrets or settings differ from those of ./receivers."""
    script = (FOLDER / "receivers").read_text()
    secrets = {name for severity in ("page", "ticket") for kind in KINDS.values() for name in kind(severity)[0]} | {"watchdog-url", "smtp-password"}
    secrets = {f"ALERT_{name.upper().replace('-', '_')}" for name in secrets}
    settings = set(re.findall(r"ALERT_[A-Z_]+[A-Z]", script))
    for file, pattern, expected in [
        ("secrets.env.example", r"(?m)^#(ALERT_\w+)=", secrets),
        ("docker-compose.yml", r"\$\{(ALERT_\w+):\+\1\}", secrets),
        ("infra/compose/make-secrets", r"\b(ALERT_\w+[A-Z])\b", secrets),
        (".env.example", r"(?m)^#(ALERT_\w+)=", settings),
        ("infra/monitoring/prometheus/docker-compose.yml", r"(ALERT_\w+): \$\{\1:-\}", settings),
    ]:
        found = set(re.findall(pattern, (PROJECT / file).read_text()))
        if found != expected:
            yield f"{file}: unexpected: {sorted(found - expected)}, missing: {sorted(expected - found)}"


def main(amtool):
    cases = [
        (severity, kinds, topic)
        for severity in ("page", "ticket")
        for count in range(len(KINDS) + 1)
        for kinds in itertools.combinations(KINDS, count)
        for topic in (False, True)
    ]
    found = [problem for case in cases for problem in problems(amtool, *case)]
    for secrets, settings, message in INVALID:
        code, _, error = run_receivers(secrets, settings)
        if code == 0 or message not in error:
            found.append(f"{secrets} {settings}: exit code {code}, {error.strip()!r} instead of {message!r}")
    found += differences_in_compose()
    # The watchdog's receiver would take a notification about a resolved alert as proof that alerting works.
    watchdog = yaml.safe_load(configuration({"watchdog-url": "https://alive.example.org"}, {}))["receivers"][-1]
    if watchdog["webhook_configs"][0]["send_resolved"]:
        found.append("the watchdog is called when its alert ends")
    print("\n".join(found), end="\n" if found else "")
    print(f"receivers: {len(cases)} combinations, {len(INVALID)} rejected settings, {len(found)} problems")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
