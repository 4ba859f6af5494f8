"""Checks that a test of the module violates each validation of a variable, and that its message is a sentence."""

import collections
import re
import unittest

from environments import TERRAFORM

MODULES = [TERRAFORM / "backend-setup", *sorted((TERRAFORM / "modules").iterdir())]


def rules(module):
    """The messages of the validations, by variable."""
    declared = re.split(r'(?m)^variable "(\w+)" \{', (module / "variables.tf").read_text())[1:]
    pairs = zip(declared[::2], declared[1::2])
    return {name: re.findall(r'error_message = "(.*)"', body) for name, body in pairs if "validation {" in body}


def violated(module):
    """The number of times that the module's tests expect each variable to be rejected."""
    tests = "".join(file.read_text() for file in (module / "tests").glob("*.tftest.hcl"))
    rejected = " ".join(re.findall(r"expect_failures = \[(.*?)\]", tests))
    return collections.Counter(re.findall(r"var\.(\w+)", rejected))


class Validations(unittest.TestCase):
    def test_each_validation_is_violated_by_a_test(self):
        for module in MODULES:
            cases = violated(module)
            for variable, messages in rules(module).items():
                with self.subTest(f"{module.name}: {variable}"):
                    self.assertGreaterEqual(cases[variable], len(messages))

    def test_each_message_is_a_sentence(self):
        for module in MODULES:
            for variable, messages in rules(module).items():
                for message in messages:
                    with self.subTest(f"{module.name}: {variable}"):
                        self.assertRegex(message, r"^.{20,}[.…]$")

    def test_every_variable_and_output_has_a_type_and_a_description(self):
        for module in [*MODULES, *sorted(path for path in (TERRAFORM / "environments").iterdir() if path.is_dir())]:
            for kind, wanted in [("variables", ["type", "description"]), ("outputs", ["description"])]:
                for block in re.split(r"(?m)^(?=variable|output)", (module / f"{kind}.tf").read_text() if (module / f"{kind}.tf").exists() else "")[1:]:
                    with self.subTest(f"{module.name}: {block.splitlines()[0]}"):
                        for attribute in wanted:
                            self.assertRegex(block, rf"(?m)^  {attribute} +=")

    def test_every_module_has_its_files(self):
        for module in MODULES:
            for file in ["main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md", "tests"]:
                with self.subTest(f"{module.name}: {file}"):
                    self.assertTrue((module / file).exists())
            if module.name != "backend-setup":
                with self.subTest(f"{module.name}: usage"):
                    self.assertIn(f'source = "../../modules/{module.name}"', (module / "README.md").read_text())


if __name__ == "__main__":
    unittest.main()
