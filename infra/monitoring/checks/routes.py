#!/usr/bin/env python3
"""Where Alertmanager sends each alert, by its own word.

usage: routes.py AMTOOL
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from alerts import MONITORING, alerts

CONFIGURATION = MONITORING / "alertmanager" / "alertmanager.yml"
RECEIVER = {"page": "page", "ticket": "ticket", "none": "watchdog"}


def goes_to(amtool, labels):
    command = [amtool, "config", "routes", "test", f"--config.file={CONFIGURATION}", *(f"{name}={value}" for name, value in labels.items())]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def without_addresses():
    """The configuration as ./start makes it where no address was given."""
    start = (MONITORING / "alertmanager" / "start").read_text()
    with tempfile.TemporaryDirectory() as folder:
        script = start.replace("/run/secrets/alertmanager", folder).replace("/etc/alertmanager", str(CONFIGURATION.parent)).replace("/tmp/alertmanager.yml", f"{folder}/made.yml")
        subprocess.run(["sh", "-c", script.replace("exec alertmanager", "exec true")], check=True)
        return (Path(folder) / "made.yml").read_text()


def main(amtool):
    problems, made = [], without_addresses()
    for configuration in (CONFIGURATION.read_text(), made):
        checked = subprocess.run([amtool, "check-config", "/dev/stdin"], input=configuration, capture_output=True, text=True)
        if checked.returncode:
            problems.append(checked.stderr.strip())
    if "url_file" in made:
        problems.append("a receiver without an address is called")
    # What says nothing of its severity is at least seen in the morning.
    cases = [({"alertname": "SomebodyElses"}, "ticket")]
    cases += [({"alertname": rule["alert"], **rule["labels"]}, RECEIVER[rule["labels"]["severity"]]) for _, rule in alerts()]
    for labels, expected in cases:
        if (receiver := goes_to(amtool, labels)) != expected:
            problems.append(f"{labels['alertname']} goes to {receiver}, not to {expected}")
    print("\n".join(problems), end="\n" if problems else "")
    print(f"routes: {len(cases)} alerts, {len(problems)} go wrong")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
