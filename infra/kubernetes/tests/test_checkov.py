"""Checkov finds no unsafe settings except those that checkov-suppressions.toml lists with a reason. Unused suppressions fail the test."""

import fnmatch
import logging
import pathlib
import sys
import tempfile
import tomllib
import unittest

import yaml
from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter
from manifests import VARIANTS, objects

logging.disable(logging.ERROR)

HERE = pathlib.Path(__file__).parent
SUPPRESSIONS = tomllib.loads((HERE / "checkov-suppressions.toml").read_text())["suppression"]


def findings(made):
    """Returns the number of passed checks, and (check, resource, description) of each failed one."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "objects.yaml")
        file.write_text(yaml.safe_dump_all(made))
        report = Runner().run(root_folder=None, files=[str(file)], runner_filter=RunnerFilter(framework=["kubernetes"]))
    assert not report.parsing_errors, report.parsing_errors
    return len(report.passed_checks), [(check.check_id, check.resource, check.check_name) for check in report.failed_checks]


def covers(suppression, check, resource):
    return suppression["check"] == check and any(fnmatch.fnmatchcase(resource, pattern) for pattern in suppression["resources"])


class Checkov(unittest.TestCase):
    def test_every_finding_is_justified(self):
        used = set()
        for variant in VARIANTS:
            passed, failed = findings(objects(variant).values())
            with self.subTest(variant):
                self.assertGreater(passed, 200)
                unjustified = []
                for check, resource, about in failed:
                    by = [index for index, suppression in enumerate(SUPPRESSIONS) if covers(suppression, check, resource)]
                    used.update(by)
                    unjustified += [] if by else [f"{check} {about}: {resource}"]
                self.assertFalse(unjustified, "fix these findings, or suppress them in checkov-suppressions.toml with a reason:\n" + "\n".join(unjustified))
            print(f"checkov: {variant}: {passed} passed, {len(failed)} suppressed", file=sys.stderr)
        for index, suppression in enumerate(SUPPRESSIONS):
            with self.subTest(suppression["check"]):
                self.assertIn(index, used, f"{suppression} suppresses nothing")
                self.assertGreater(len(suppression["reason"].split()), 5)

    def test_a_writable_root_file_system_is_found(self):
        text = yaml.safe_dump_all(objects("local").values())
        _, failed = findings(yaml.safe_load_all(text.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")))
        self.assertIn("CKV_K8S_22", {check for check, _, _ in failed})


if __name__ == "__main__":
    unittest.main()
