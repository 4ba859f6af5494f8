"""The commands in the README that create the Secrets of a managed cluster create the right Secrets."""

import base64
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml
from manifests import KUBERNETES, PROJECT, WORK, secret_objects
from test_compose import compose

# Replaces kubectl in the commands: it renders the objects instead of applying them.
KUBECTL = """
kubectl() {
  case "$*" in
    "apply -f infra/kubernetes/base/namespace.yaml") ;;
    "apply --server-side --namespace voting-app -k secrets") command kubectl kustomize secrets >rendered ;;
    *) echo "unknown: kubectl $*" >&2; exit 1 ;;
  esac
}
"""


class Readme(unittest.TestCase):
    def test_the_commands_create_the_secrets_of_a_managed_cluster(self):
        (commands,) = re.findall(r"(?s)```sh\n((?:(?!```).)*mkdir -p -m 700 secrets.*?)```", (KUBERNETES / "README.md").read_text())
        self.assertIn(f" {compose()['secrets']['image']} /scripts/make-files", commands)
        WORK.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            for name in ["infra", "secrets.env.example"]:
                os.symlink(PROJECT / name, f"{folder}/{name}")
            script = f"set -eu\n{KUBECTL}{commands}"
            environment = {name: os.environ[name] for name in ["PATH", "HOME"]} | {"ADMIN_PASSWORD": "the administrator's: ?#/@"}
            rendered = []
            for _ in range(2):
                done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                rendered.append(pathlib.Path(folder, "rendered").read_text())
            self.assertEqual(rendered[1], rendered[0], "the second run changed the stored passwords")
            made = {one["metadata"]["name"]: one["data"] for one in yaml.safe_load_all(rendered[0])}
        secrets = {name: {key: base64.b64decode(value).decode() for key, value in data.items()} for name, data in made.items()}
        self.assertEqual({name: keys.keys() for name, keys in secrets.items()}, {name: keys.keys() for name, keys in secret_objects().items()})
        self.assertEqual(secrets["db"]["superuser-password"], environment["ADMIN_PASSWORD"])
        for name in ["worker", "result"]:
            password = secrets["passwords"][f"{name}-db"]
            self.assertEqual(secrets[name]["database-url"], f"postgres://{name}:{password}@postgres.example.org/postgres?sslmode=require")
            self.assertEqual(secrets["db"][f"{name}-password"], password)


if __name__ == "__main__":
    unittest.main()
