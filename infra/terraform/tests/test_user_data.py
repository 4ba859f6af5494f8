"""Static checks of the machines' user data: shellcheck, size, and secrets."""

import gzip
import re
import subprocess
import tempfile
import unittest

from environments import TERRAFORM
from rendered import user_data

# EC2's limit of compressed user data before encoding, as in
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
LIMIT = 16 * 1024


def shellcheck(name, script):
    with tempfile.NamedTemporaryFile("w", prefix=f"{name}-") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(["shellcheck", "--external-sources", file.name], text=True, capture_output=True)
    return done.stdout


def parts(script):
    """The scripts that user data writes."""
    return dict(re.findall(r"(?ms)^put \"\$home/(bin/\w+)\" 755 <<'(?:END_OF_\w+)'\n(.*?)\nEND_OF_", script))


class UserData(unittest.TestCase):
    def test_shellcheck_has_no_findings(self):
        for role, script in user_data().items():
            with self.subTest(role):
                self.assertEqual(shellcheck(role, script), "")
                self.assertEqual(set(parts(script)), {f"bin/{file.name}" for file in (TERRAFORM / "modules/compute/files").iterdir() if "." not in file.name})
            for name, program in parts(script).items():
                with self.subTest(f"{role} {name}"):
                    self.assertEqual(shellcheck(name.removeprefix("bin/"), program), "")

    def test_files_mounted_by_compose_are_included(self):
        mounted = re.findall(r"(?m)^ +- \./(infra/\S+?):/", (TERRAFORM / "../../docker-compose.yml").read_text())
        self.assertGreaterEqual(len(mounted), 3, mounted)
        for path in mounted:
            self.assertIn(f'put "$home/{path}" 644', user_data()["everything"])

    def test_shellcheck_detects_errors(self):
        self.assertIn("SC2086", shellcheck("broken", "#!/bin/bash\nrm -r $1\n"))

    def test_user_data_is_within_the_limit(self):
        for role, script in user_data().items():
            with self.subTest(role):
                self.assertLess(len(gzip.compress(script.encode())), LIMIT)

    def test_user_data_contains_no_secret(self):
        for role, script in user_data().items():
            with self.subTest(role):
                self.assertIsNone(re.search(r"(?i)(secret|password|key)[^\n]{0,40}[0-9a-f]{32}", script))


if __name__ == "__main__":
    unittest.main()
