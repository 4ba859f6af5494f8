#!/usr/bin/env python3
"""Checks with amtool that Alertmanager routes each alert to the receiver of its severity.

usage: routes.py AMTOOL
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from alerts import alerts
from receivers import configuration

RECEIVER = {"page": "page", "ticket": "ticket", "none": "watchdog"}


def receiver_for(amtool, file, labels):
    command = [amtool, "config", "routes", "test", f"--config.file={file}", *(f"{name}={value}" for name, value in labels.items())]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(amtool):
    problems = []
    # An alert without a severity goes to the ticket receiver.
    cases = [({"alertname": "WithoutSeverity"}, "ticket")]
    cases += [({"alertname": rule["alert"], **rule["labels"]}, RECEIVER[rule["labels"]["severity"]]) for _, rule in alerts()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "alertmanager.yml"
        file.write_text(configuration({}, {}))
        for labels, expected in cases:
            if (receiver := receiver_for(amtool, file, labels)) != expected:
                problems.append(f"{labels['alertname']} is routed to {receiver} instead of {expected}")
    print("\n".join(problems), end="\n" if problems else "")
    print(f"routes: {len(cases)} alerts, {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
