#!/usr/bin/env python3
"""Mutation test of the rules: changes each threshold and each duration up and down, and requires that a rule test fails. All changes
take more than half an hour; without THRESHOLDS=all only every tenth is tested.

usage: thresholds.py PROMTOOL
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROMETHEUS = Path(__file__).resolve().parents[1] / "prometheus"

# Numbers that are mutated: after a comparison, factors of such a number, bounds of buckets, and `for`.
NUMBER = r"\d+(?:\.\d+)?"
THRESHOLD = re.compile(
    rf"(?:[<>=]=?(?: bool)? |[<>] {NUMBER} \* |le=\"|vector\(|histogram_quantile\()(?P<number>{NUMBER})"
)
# The budget by which a ratio is divided.
DIVISOR = re.compile(rf" / (?P<number>{NUMBER}) (?:>|or)")
DURATION = re.compile(r"^ +(?:for|keep_firing_for): (?P<number>\d+)(?=[smh]$)")
# Numbers without effect on tests: checks of a divisor for 0, the quantile, and one byte of a disk.
EXCLUDED = re.compile(r"\)\) > 0\)$|:increase1h\[30d:5m\]\) > 0\)|redis_memory_max_bytes > 0|vector\(1\)|histogram_quantile\(0\.99|86400\) < 0")


def mutants(line):
    """Yields (number, changed number, changed line): 20 % more and less, or other values for 0."""
    for pattern in (THRESHOLD, DIVISOR, DURATION):
        for found in pattern.finditer(line):
            if any(found.start("number") in range(*n.span()) for n in EXCLUDED.finditer(line)):
                continue
            number = float(found["number"])
            if pattern is DURATION:
                others = [number * 2, number // 2]
            else:
                step = max(number / 5, 1 if number.is_integer() else 0)
                others = [number + step, number - step] if number else [-1, 5]
            if "==" in found[0]:
                others = [-1]
            for other in others:
                yield found["number"], f"{other:g}", line[: found.start("number")] + f"{other:g}" + line[found.end("number") :]


def tests_fail(promtool, folder, rules):
    """Returns whether a test of these rules fails."""
    # Tests over hours or days take longest, so they are run last.
    slow = ("over-hours", "low-traffic", "error-budgets")
    for tests in sorted((folder / "tests").glob("*.yml"), key=lambda tests: (tests.stem.endswith(slow), tests)):
        if f"../rules/{rules.name}" in tests.read_text():
            if subprocess.run([promtool, "test", "rules", tests], capture_output=True).returncode:
                return True
    return False


def main(promtool):
    survivors, tried = [], 0
    every = 1 if os.environ.get("THRESHOLDS") == "all" else 10
    number = itertools.count()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(shutil.copytree(PROMETHEUS, f"{temporary}/prometheus"))
        for rules in sorted((folder / "rules").glob("*.yml")):
            original = rules.read_text()
            lines = original.splitlines(keepends=True)
            assert not tests_fail(promtool, folder, rules), f"{rules.name}: its tests fail without a change"
            for index, line in enumerate(lines):
                if line.lstrip().startswith(("#", "description:", "summary:")):
                    continue
                for was, becomes, changed in mutants(line):
                    if next(number) % every:
                        continue
                    rules.write_text("".join([*lines[:index], changed, *lines[index + 1 :]]))
                    tried += 1
                    if not tests_fail(promtool, folder, rules):
                        survivors.append(f"{rules.name}:{index + 1}: no test fails with {becomes} instead of {was}: {line.strip()}")
            rules.write_text(original)
    print("\n".join(survivors), end="\n" if survivors else "")
    print(f"thresholds: {tried} changes, {len(survivors)} undetected")
    sys.exit(1 if survivors or not tried else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
