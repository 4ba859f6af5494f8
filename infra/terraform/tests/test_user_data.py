"""What machines do when they start, looked at without doing it: by shellcheck, by its size, and for secrets."""

import gzip
import re
import subprocess
import tempfile
import unittest

from environments import TERRAFORM
from rendered import user_data

# EC2's limit for what is sent, which is compressed, before it is encoded, as in
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
LIMIT = 16 * 1024


def shellcheck(name, script):
    with tempfile.NamedTemporaryFile("w", prefix=f"{name}-") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(["shellcheck", "--external-sources", file.name], text=True, capture_output=True)
    return done.stdout


def parts(script):
    """The programs that a script puts in place."""
    return dict(re.findall(r"(?ms)^put \"\$home/(bin/\w+)\" 755 <<'(?:END_OF_\w+)'\n(.*?)\nEND_OF_", script))


class UserData(unittest.TestCase):
    def test_shellcheck_finds_nothing(self):
        for role, script in user_data().items():
            with self.subTest(role):
                self.assertEqual(shellcheck(role, script), "")
                self.assertEqual(set(parts(script)), {f"bin/{file.name}" for file in (TERRAFORM / "modules/compute/files").iterdir() if "." not in file.name})
            for name, program in parts(script).items():
                with self.subTest(f"{role} {name}"):
                    self.assertEqual(shellcheck(name.removeprefix("bin/"), program), "")

    def test_what_the_compose_file_mounts_is_there(self):
        mounted = re.findall(r"(?m)^ +- \./(infra/\S+?):/", (TERRAFORM / "../../docker-compose.yml").read_text())
        self.assertGreaterEqual(len(mounted), 3, mounted)
        for path in mounted:
            self.assertIn(f'put "$home/{path}" 644', user_data()["everything"])

    def test_shellcheck_would_find_something(self):
        self.assertIn("SC2086", shellcheck("broken", "#!/bin/bash\nrm -r $1\n"))

    def test_it_fits(self):
        for role, script in user_data().items():
            with self.subTest(role):
                self.assertLess(len(gzip.compress(script.encode())), LIMIT)

    def test_it_holds_no_secret(self):
        for role, script in user_data().items():
            with self.subTest(role):
                self.assertIsNone(re.search(r"(?i)(secret|password|key)[^\n]{0,40}[0-9a-f]{32}", script))


if __name__ == "__main__":
    unittest.main()
