"""Tests newest-image, which updates the machines' image, with a local page that lists releases."""

import datetime
import http.server
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

from environments import TERRAFORM

FILE = "modules/compute/image.tf"
PINNED = re.search(r'image_version = "(.*)"', (TERRAFORM / FILE).read_text())[1]


def days_ago(days):
    return (datetime.date.today() - datetime.timedelta(days=days)).strftime("%Y%m%d")


class Listing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        rows = "".join(f'<tr><td><a href="{name}/">{name}/</a></td></tr>\n' for name in self.server.names)
        self.wfile.write(f"<html><table>\n{rows}</table></html>".encode())

    def log_message(self, *_):
        pass


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / FILE).parent.mkdir(parents=True)
        for file in ["newest-image", FILE]:
            shutil.copy(TERRAFORM / file, self.folder / file)

    def newest(self, *names):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listing)
        server.names = names
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return subprocess.run([self.folder / "newest-image", f"http://127.0.0.1:{server.server_port}/"], text=True, capture_output=True)

    def pinned(self):
        return re.search(r'(?m)^  image_version = "(.*)"$', (self.folder / FILE).read_text())[1]

    def test_the_newest_release_that_is_a_week_old_is_used(self):
        # Releases of one day are ordered by the second number, numerically.
        old, new, too_new = f"{days_ago(8)}-999", f"{days_ago(8)}-1000", f"{days_ago(2)}-1001"
        (self.folder / FILE).write_text((self.folder / FILE).read_text().replace(PINNED, "20250814-2204"))
        done = self.newest("20250814-2204", new, old, too_new, "daily", "latest")
        self.assertEqual((done.stdout, done.stderr, self.pinned()), (f"{new}\n", "", new))

    def test_an_older_release_is_not_used(self):
        done = self.newest("20250814-2204", "20250924-2245")
        self.assertEqual((done.returncode, done.stdout, self.pinned()), (0, "", PINNED))

    def test_a_page_without_releases_is_an_error(self):
        done = self.newest("daily", "latest")
        self.assertEqual((done.returncode, self.pinned()), (1, PINNED))
        self.assertIn("lists no release", done.stderr)

    def test_the_workflow_runs_it_and_commits_only_this_file(self):
        workflow = (TERRAFORM.parent.parent / ".github/workflows/machine-image.yml").read_text()
        self.assertIn("infra/terraform/newest-image", workflow)
        self.assertIn(f"git commit --quiet --message \"Start machines from Debian's image $version\" -- infra/terraform/{FILE}", workflow)


if __name__ == "__main__":
    unittest.main()
