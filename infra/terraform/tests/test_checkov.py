"""Checkov looks for what is known to be unsafe, in the plan of each root. What it finds is mended, or stands in
checkov-suppressions.toml with the reason; and a suppression that suppresses nothing is to go."""

import copy
import fnmatch
import json
import logging
import pathlib
import sys
import tempfile
import tomllib
import unittest

from checkov.runner_filter import RunnerFilter
from checkov.terraform.plan_runner import Runner
from environments import plan

# Checks that cannot read what a plan leaves unknown find nothing, and say so at length.
logging.disable(logging.ERROR)

HERE = pathlib.Path(__file__).parent
SUPPRESSIONS = tomllib.loads((HERE / "checkov-suppressions.toml").read_text())["suppression"]

ROOTS = {
    "backend-setup": {"github_repository": "example/voting-app"},
    "dev": {"enable_alb": True, "admin_cidrs": ["203.0.113.7/32"]},
    "staging": {},
    "prod": {"enable_cdn": True, "cdn_only": True},
}


def findings(described):
    """How many checks pass, and those that fail: the check, the resource, and what it is about."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(described, file)
        file.flush()
        # In this process, for its start takes longer than what it has to do.
        report = Runner().run(root_folder=None, files=[file.name], runner_filter=RunnerFilter(framework=["terraform_plan"]))
    assert not report.parsing_errors, report.parsing_errors
    return len(report.passed_checks), [(check.check_id, check.resource, check.check_name) for check in report.failed_checks]


def covers(suppression, name, check, resource):
    return (
        suppression["check"] == check
        and any(fnmatch.fnmatchcase(resource, f"*{pattern}*") for pattern in suppression["resources"])
        and name in suppression.get("roots", ROOTS)
    )


class Checkov(unittest.TestCase):
    def test_what_is_found_is_justified(self):
        used = set()
        for name, variables in ROOTS.items():
            passed, failed = findings(plan(name, **variables))
            with self.subTest(name):
                self.assertGreater(passed, 20)
                unjustified = []
                for check, resource, about in failed:
                    by = [index for index, suppression in enumerate(SUPPRESSIONS) if covers(suppression, name, check, resource)]
                    used.update(by)
                    unjustified += [] if by else [f"{check} {about}: {resource}"]
                self.assertFalse(unjustified, "mend it, or say in checkov-suppressions.toml why not:\n" + "\n".join(unjustified))
            print(f"checkov: {name}: {passed} passed, {len(failed)} suppressed", file=sys.stderr)
        for index, suppression in enumerate(SUPPRESSIONS):
            with self.subTest(suppression["check"]):
                self.assertIn(index, used, f"{suppression} suppresses nothing")
                self.assertGreater(len(suppression["reason"].split()), 5)

    def test_it_would_notice(self):
        described = copy.deepcopy(plan("dev", **ROOTS["dev"]))
        module = next(child for child in described["planned_values"]["root_module"]["child_modules"][0]["child_modules"] if 'everything' in child["address"])
        changed = next(resource for resource in module["resources"] if resource["type"] == "aws_ebs_volume")
        changed["values"]["encrypted"] = False
        failed = [(check, resource) for check, resource, _ in findings(described)[1]]
        self.assertIn(("CKV_AWS_3", changed["address"]), failed)


if __name__ == "__main__":
    unittest.main()
