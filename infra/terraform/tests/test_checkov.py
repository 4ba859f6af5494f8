"""Runs Checkov on the plan of each root module. Each finding must be fixed or be in checkov-suppressions.toml with a reason, and each
suppression must be used."""

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

# Checks log errors for values that are unknown in the plan.
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
    """The number of checks that pass, and those that fail: check, resource and title."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(described, file)
        file.flush()
        # In this process, because starting Checkov takes longer than the checks.
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
    def test_each_finding_is_justified(self):
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
                self.assertFalse(unjustified, "fix it, or add a reason to checkov-suppressions.toml:\n" + "\n".join(unjustified))
            print(f"checkov: {name}: {passed} passed, {len(failed)} suppressed", file=sys.stderr)
        for index, suppression in enumerate(SUPPRESSIONS):
            with self.subTest(suppression["check"]):
                self.assertIn(index, used, f"{suppression} suppresses nothing")
                self.assertGreater(len(suppression["reason"].split()), 5)

    def test_an_unencrypted_disk_is_detected(self):
        described = copy.deepcopy(plan("dev", **ROOTS["dev"]))
        module = next(child for child in described["planned_values"]["root_module"]["child_modules"][0]["child_modules"] if 'everything' in child["address"])
        changed = next(resource for resource in module["resources"] if resource["type"] == "aws_ebs_volume")
        changed["values"]["encrypted"] = False
        failed = [(check, resource) for check, resource, _ in findings(described)[1]]
        self.assertIn(("CKV_AWS_3", changed["address"]), failed)


if __name__ == "__main__":
    unittest.main()
