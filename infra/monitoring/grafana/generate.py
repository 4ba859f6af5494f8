#!/usr/bin/env python3
"""Writes dashboards/*.json from sources/*.py. With --check it only says whether they are what it would write."""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ["overview", "vote", "pipeline", "result", "redis", "postgres", "hosts", "monitoring", "alerts"]

sys.path.insert(0, str(HERE / "sources"))


def main(check):
    written = {f"{name}.json": json.dumps(importlib.import_module(name).DASHBOARD, indent=1, ensure_ascii=False) + "\n" for name in NAMES}
    folder = HERE / "dashboards"
    if not check:
        for name, text in written.items():
            (folder / name).write_text(text)
    present = {path.name: path.read_text() for path in folder.glob("*")}
    other = sorted(name for name in written.keys() | present.keys() if written.get(name) != present.get(name))
    if other:
        sys.exit(f"dashboards: {', '.join(other)} are not what {Path(__file__).name} writes; run it")
    print(f"dashboards: {len(written)} are as their sources say")


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
