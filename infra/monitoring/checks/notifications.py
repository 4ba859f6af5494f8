#!/usr/bin/env python3
"""Checks with a real Prometheus and Alertmanager that each kind of receiver gets the description, severity, environment and working
links of an alert, and a message when it is resolved; and that the watchdog's receiver is called every minute.

usage: notifications.py
"""

import os
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from alerts import MONITORING, RUNBOOKS, alerts
from inbox import PASSWORD, USER, Inbox
from stack import eventually, fetch, free_port
from webhook import Receiver

KINDS = ["webhook", "slack", "teams", "pagerduty", "email"]
ENVIRONMENT, CLUSTER = "staging", "test-cluster"


def example_rule(severity):
    """Returns a rule with this severity, changed so that it fires immediately."""
    _, rule = next((path, rule) for path, rule in alerts() if rule["labels"]["severity"] == severity)
    return {**{key: value for key, value in rule.items() if key not in ("for", "keep_firing_for")}, "expr": "vector(1)"}


class Project:
    """Runs Prometheus and Alertmanager as on a separate machine, with only the given rules."""

    def __init__(self, folder, inbox, watchdog):
        self.folder = Path(folder)
        # Containers run as unprivileged users.
        self.folder.chmod(0o755)
        for part in ("alertmanager", "prometheus", "runbooks"):
            shutil.copytree(MONITORING / part, self.folder / part, ignore=shutil.ignore_patterns("rules", "tests", "targets"))
        for part in ("rules", "targets"):
            (self.folder / "prometheus" / part).mkdir()
        secrets = self.folder / "secrets/alertmanager"
        secrets.mkdir(parents=True)
        for severity in ("page", "ticket"):
            (secrets / f"{severity}-url").write_text(f"{inbox.url}/webhook/{severity}")
            (secrets / f"{severity}-slack-url").write_text(f"{inbox.url}/slack/{severity}\n")
            (secrets / f"{severity}-teams-url").write_text(f"{inbox.url}/teams/{severity}\n")
            (secrets / f"{severity}-pagerduty-key").write_text(f"{severity}\n")
        (secrets / "watchdog-url").write_text(f"{watchdog.url}/watchdog")
        (secrets / "smtp-password").write_text(f"{PASSWORD}\n")
        # Alertmanager's image does not trust the self-signed certificate of the mail server.
        (self.folder / "certificate.pem").write_text(inbox.certificate.read_text())
        trust = {"environment": {"SSL_CERT_FILE": "/certificate.pem"}, "volumes": [f"{self.folder}/certificate.pem:/certificate.pem:ro"]}
        (self.folder / "prometheus/trust.yml").write_text(yaml.safe_dump({"services": {"alertmanager": trust}}))
        ports = {name: free_port() for name in ("prometheus", "alertmanager")}
        self.prometheus, self.alertmanager = (f"http://localhost:{port}" for port in ports.values())
        self.command = ["docker", "compose", "--env-file=/dev/null", "--file=docker-compose.yml", "--file=trust.yml", f"--project-name=voting-notifications-{os.getpid()}"]
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **{f"{name.upper()}_PORT": str(port) for name, port in ports.items()},
            "SECRETS": str(self.folder / "secrets"),
            "PROMETHEUS_CONFIG": "prometheus-hosts.yml",
            "ENVIRONMENT": ENVIRONMENT,
            "CLUSTER": CLUSTER,
            "ALERT_PAGERDUTY_URL": f"{inbox.url}/pagerduty",
            "ALERT_PAGE_EMAIL": "page@example.org",
            "ALERT_TICKET_EMAIL": "ticket@example.org",
            "ALERT_SMTP_SMARTHOST": inbox.smarthost,
            "ALERT_SMTP_FROM": "alerts@example.org",
            "ALERT_SMTP_USERNAME": USER,
        }

    def compose(self, *arguments):
        done = subprocess.run([*self.command, *arguments], cwd=self.folder / "prometheus", env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stderr.strip()[-2000:]}"
        return done.stdout

    def load(self, rules):
        groups = [{"name": "under-test", "interval": "1s", "rules": list(rules)}]
        (self.folder / "prometheus/rules/under-test.yml").write_text(yaml.safe_dump({"groups": groups}))
        self.compose("kill", "--signal=HUP", "prometheus")

    def __enter__(self):
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "60", "prometheus", "alertmanager")
            # Earlier alerts would be dropped and sent again only a minute later.
            eventually("Alertmanager in the list of Prometheus", lambda: fetch(f"{self.prometheus}/api/v1/alertmanagers")["data"]["activeAlertmanagers"])
        except BaseException:
            self.__exit__(AssertionError, None, None)
            raise
        return self

    def __exit__(self, kind, _value, _trace):
        if kind:
            print(self.compose("logs", "--no-color", "--tail", "20"))
        self.compose("down", "--volumes", "--timeout", "3")


def get_text(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.status == 200, f"{url}: {response.status}"
        return response.read().decode()


def check(message, rule, project):
    """Checks a message about a firing alert; returns its links."""
    what = f"{message.kind} to {message.receiver}"
    name, severity, summary = rule["alert"], rule["labels"]["severity"], rule["annotations"]["summary"]
    assert message.severity == severity, f"{what}: its severity is {message.severity} instead of {severity}"
    if message.kind == "webhook":
        assert message.title == name, f"{what}: its alert is {message.title}"
    else:
        expected = f"[FIRING:1] {name}: {summary} ({ENVIRONMENT}, {CLUSTER})"
        assert message.title == expected, f"{what}: its title is {message.title!r} instead of {expected!r}"
        assert f"environment={ENVIRONMENT}" in message.text, f"{what}: no environment in {message.text}"
    if message.labels:
        labels = {label: message.labels.get(label) for label in ("environment", "cluster", "runbooks_url")}
        assert labels == {"environment": ENVIRONMENT, "cluster": CLUSTER, "runbooks_url": None}, f"{what}: its labels are {labels}"
    runbook = f"{project.prometheus}/user/{rule['annotations']['runbook_url'].removeprefix(RUNBOOKS)}"
    own = {link for link in message.links if link.startswith(project.alertmanager)}
    queries = {link for link in message.links if link.startswith(f"{project.prometheus}/graph?")}
    assert len(own) == 1 and len(queries) == 1 and message.links == {runbook, *own, *queries}, f"{what}: its links are {message.links}"
    return message.links


def check_link(link, project):
    """Checks that a link opens the runbook section, the query, or Alertmanager."""
    page, _, heading = link.partition("#")
    text = get_text(page)
    if "/user/" in link:
        assert f"## {heading}\n" in text.lower(), f"{link}: the page does not have this heading"
    elif link.startswith(project.prometheus):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["g0.expr"][0]
        found = fetch(f"{project.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}")["data"]["result"]
        assert found, f"{link}: the query {query} has no result"
    else:
        assert "Alertmanager" in text, f"{link}: not a page of Alertmanager"


def main():
    rules = {severity: example_rule(severity) for severity in ("none", "page", "ticket")}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as keys, Inbox(Path(keys)) as inbox, Receiver() as watchdog:
        project = Project(folder, inbox, watchdog)
        with project:
            project.load(rules.values())
            links = set()
            for severity in ("page", "ticket"):
                for kind in KINDS:
                    links |= check(inbox.wait_for(kind, severity, "firing", 60), rules[severity], project)
            for link in sorted(links):
                check_link(link, project)
            print(f"notifications: {2 * len(KINDS)} messages to {len(KINDS)} kinds of receivers, {len(links)} working links")
            # A removed rule would not resolve its alert, so the expression is changed.
            project.load([rules["none"], {**rules["page"], "expr": "vector(1) > 2"}, rules["ticket"]])
            for kind in KINDS:
                inbox.wait_for(kind, "page", "resolved", 60)
            print(f"notifications: {len(KINDS)} kinds of receivers get the resolved alert")
            eventually("second call of the watchdog", lambda: len(watchdog.calls) > 1, 130)
            interval = watchdog.calls[1][0] - watchdog.calls[0][0]
            assert 50 < interval < 75, f"the watchdog is called after {interval:.0f} s instead of a minute"
            print(f"notifications: the watchdog is called after {interval:.0f} s")


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"notifications: {time.monotonic() - started:.0f} s")
