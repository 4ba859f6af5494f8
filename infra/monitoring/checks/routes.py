#!/usr/bin/env python3
"""Where Alertmanager sends each alert, by its own word.

usage: routes.py AMTOOL
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from alerts import alerts
from receivers import configuration

RECEIVER = {"page": "page", "ticket": "ticket", "none": "watchdog"}


def goes_to(amtool, file, labels):
    command = [amtool, "config", "routes", "test", f"--config.file={file}", *(f"{name}={value}" for name, value in labels.items())]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(amtool):
    problems = []
    # What says nothing of its severity is at least seen in the morning.
    cases = [({"alertname": "SomebodyElses"}, "ticket")]
    cases += [({"alertname": rule["alert"], **rule["labels"]}, RECEIVER[rule["labels"]["severity"]]) for _, rule in alerts()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "alertmanager.yml"
        file.write_text(configuration({}, {}))
        for labels, expected in cases:
            if (receiver := goes_to(amtool, file, labels)) != expected:
                problems.append(f"{labels['alertname']} goes to {receiver}, not to {expected}")
    print("\n".join(problems), end="\n" if problems else "")
    print(f"routes: {len(cases)} alerts, {len(problems)} go wrong")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
