#!/usr/bin/env python3
"""Generates dashboards/*.json from sources/*.py. `--check` writes nothing and fails if they are out of date."""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ["overview", "vote", "pipeline", "result", "redis", "postgres", "hosts", "monitoring", "alerts"]

sys.path.insert(0, str(HERE / "sources"))


def main(check):
    generated = {f"{name}.json": json.dumps(importlib.import_module(name).DASHBOARD, indent=1, ensure_ascii=False) + "\n" for name in NAMES}
    folder = HERE / "dashboards"
    if not check:
        for name, text in generated.items():
            (folder / name).write_text(text)
    present = {path.name: path.read_text() for path in folder.glob("*")}
    outdated = sorted(name for name in generated.keys() | present.keys() if generated.get(name) != present.get(name))
    if outdated:
        sys.exit(f"dashboards: {', '.join(outdated)} are out of date: run {Path(__file__).name}")
    print(f"dashboards: {len(generated)} are up to date")


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
