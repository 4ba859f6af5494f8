"""Checkov looks for what is known to be unsafe, in the plan of each root. What it finds is mended, or stands in
checkov-suppressions.toml with the reason; and a suppression that suppresses nothing is to go."""

import copy
import fnmatch
import json
import pathlib
import subprocess
import sys
import tempfile
import tomllib
import unittest

from environments import plan

HERE = pathlib.Path(__file__).parent
CHECKOV = pathlib.Path(sys.executable).with_name("checkov")
SUPPRESSIONS = tomllib.loads((HERE / "checkov-suppressions.toml").read_text())["suppression"]

DOMAIN = {"zone_id": "Z0123456789ABC", "vote": "vote.example.org", "result": "result.example.org"}
ROOTS = {
    "backend-setup": {"github_repository": "example/voting-app"},
    "dev": {"enable_alb": True, "admin_cidrs": ["203.0.113.7/32"]},
    "staging": {},
    "prod": {"https": True, "domain": DOMAIN, "enable_cdn": True, "cdn_prefix_list_id": "pl-22a6434b"},
}


def findings(described):
    """How many checks pass, and those that fail: the check, the resource, and what it is about."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(described, file)
        file.flush()
        done = subprocess.run(
            [CHECKOV, "--file", file.name, "--framework", "terraform_plan", "--output", "json", "--compact", "--quiet", "--skip-download"], text=True, capture_output=True
        )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0, done.stderr
    failed = report["results"]["failed_checks"]
    return report["summary"]["passed"], [(check["check_id"], check["resource"], check["check_name"]) for check in failed]


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
