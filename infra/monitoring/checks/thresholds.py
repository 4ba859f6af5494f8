#!/usr/bin/env python3
"""Changes each threshold and each duration of the alerts in turn, up and down: the rules' tests must fail each time. All changes take
more than half an hour; without THRESHOLDS=all every tenth is made.

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

# Numbers that decide: after a comparison, factors of such a number, bounds of buckets, and `for`.
NUMBER = r"\d+(?:\.\d+)?"
DECISIVE = re.compile(
    rf"(?:[<>=]=?(?: bool)? |[<>] {NUMBER} \* |le=\"|vector\(|histogram_quantile\()(?P<number>{NUMBER})"
)
# The budget that a share is divided by.
DIVISOR = re.compile(rf" / (?P<number>{NUMBER}) (?:>|or)")
LASTING = re.compile(r"^ +(?:for|keep_firing_for): (?P<number>\d+)(?=[smh]$)")
# A divisor that may not be 0, the quantile, and a byte more or less of a disk.
NEUTRAL = re.compile(r"\)\) > 0\)$|:increase1h\[30d:5m\]\) > 0\)|redis_memory_max_bytes > 0|vector\(1\)|histogram_quantile\(0\.99|86400\) < 0")


def mutants(line):
    """Each number of a line that decides, with what it is changed into: a fifth more and less, or what is not 0."""
    for pattern in (DECISIVE, DIVISOR, LASTING):
        for found in pattern.finditer(line):
            if any(found.start("number") in range(*n.span()) for n in NEUTRAL.finditer(line)):
                continue
            number = float(found["number"])
            if pattern is LASTING:
                others = [number * 2, number // 2]
            else:
                step = max(number / 5, 1 if number.is_integer() else 0)
                others = [number + step, number - step] if number else [-1, 5]
            if "==" in found[0]:
                others = [-1]
            for other in others:
                yield found["number"], f"{other:g}", line[: found.start("number")] + f"{other:g}" + line[found.end("number") :]


def tests_fail(promtool, folder, rules):
    """Whether a test that reads these rules fails."""
    # Those that look at hours or days take the longest.
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
            assert not tests_fail(promtool, folder, rules), f"{rules.name}: its tests fail as it is"
            for index, line in enumerate(lines):
                if line.lstrip().startswith(("#", "description:", "summary:")):
                    continue
                for was, becomes, changed in mutants(line):
                    if next(number) % every:
                        continue
                    rules.write_text("".join([*lines[:index], changed, *lines[index + 1 :]]))
                    tried += 1
                    if not tests_fail(promtool, folder, rules):
                        survivors.append(f"{rules.name}:{index + 1}: {was} may be {becomes}: {line.strip()}")
            rules.write_text(original)
    print("\n".join(survivors), end="\n" if survivors else "")
    print(f"thresholds: {tried} changes, {len(survivors)} unnoticed")
    sys.exit(1 if survivors or not tried else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
