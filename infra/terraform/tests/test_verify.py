"""Tests `verify`, which detects failed applies, with a local web server and stubs for AWS's CLI and Terraform."""

import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import unittest

from environments import TERRAFORM

# A stub counts its calls, so that its output can change.
STUB = '#!/bin/bash\necho "$*" >>{calls}\nn=$(grep --count -- "{about}" {calls})\n{does}\n'


class Pages(http.server.ThreadingHTTPServer):
    def __init__(self, statuses):
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.statuses = list(statuses)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class PageHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()

    def log_message(self, *_):
        pass


class Verify(unittest.TestCase):
    def verify(self, refreshes, statuses, seconds=30):
        """Runs `verify`. `refreshes` and `statuses` are the consecutive responses of AWS and of the pages."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        environment = pathlib.Path(folder.name) / "prod"
        environment.mkdir()
        pages = Pages(statuses)
        self.addCleanup(pages.server_close)
        self.addCleanup(pages.shutdown)
        url = f"http://127.0.0.1:{pages.server_port}"
        outputs = "\n".join(f"{index}) echo '{text}' ;;" for index, text in enumerate(refreshes, 1))
        stubs = {
            "aws": ("refreshes", f"case $* in logs*) echo 'vote: it does not start, for this reason' ;; *refreshes*) case $n in {outputs}\n*) echo '{refreshes[-1]}' ;; esac ;; esac"),
            "terraform": ("output", f"case $* in *groups) echo '[\"front\"]' ;; *urls) echo '{json.dumps({'vote': f'{url}/', 'result': f'{url}/result'})}' ;; esac"),
        }
        for name, (about, does) in stubs.items():
            program = environment / name
            program.write_text(STUB.format(calls=f"{folder.name}/{name}.calls", about=about, does=does))
            program.chmod(0o755)
        variables = {**os.environ, "PATH": f"{environment}:{os.environ['PATH']}", "VERIFY_TIMEOUT": str(seconds), "VERIFY_INTERVAL": "0.05"}
        return subprocess.run([TERRAFORM / "verify"], cwd=environment, env=variables, text=True, capture_output=True, timeout=60)

    def test_it_waits_for_machines_and_pages(self):
        done = self.verify(["Pending\t0\tNone", "InProgress\t50\tNone", "Successful\t100\tNone"], [502, 503, 200])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("verify: prod is up", done.stdout)
        self.assertIn("InProgress", done.stdout)
        self.assertIn("502", done.stdout)

    def test_a_new_group_has_no_refresh_to_wait_for(self):
        self.assertEqual(self.verify(["None"], [200]).returncode, 0)

    def test_it_fails_with_the_machines_logs(self):
        for refreshes, statuses, seconds, why in [
            (["InProgress\t0\tNone", "Failed\t0\tmachines do not get ready"], [200], 30, "machines do not get ready"),
            (["Cancelled\t0\tby an operator"], [200], 30, "the machines of front"),
            (["Successful\t100\tNone"], [503], 1, "/: not within"),
            (["InProgress\t0\tNone"], [200], 1, "the machines of front: not within"),
        ]:
            with self.subTest(refreshes[-1], statuses=statuses):
                done = self.verify(refreshes, statuses, seconds)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(why, done.stdout + done.stderr)
                self.assertIn("it does not start, for this reason", done.stderr)


if __name__ == "__main__":
    unittest.main()
