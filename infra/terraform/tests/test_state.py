"""Tests Terraform's S3 backend with the environments' settings, against a server for S3 and DynamoDB: concurrent applies, a killed
process, migration, and older states."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

from aws import Moto
from environments import ENVIRONMENTS, TERRAFORM

REGION = "ap-northeast-2"
# In seconds, for operations that take one or two seconds on an idle machine.
TIMEOUT = 600
TABLE = "voting-app-terraform-locks"

# A configuration whose apply waits at a gate, so that others run meanwhile.
ROOT = """
variable "content" {
  type = string
}

variable "gate" {
  type    = string
  default = ""
}

resource "terraform_data" "this" {
  input            = var.content
  triggers_replace = [var.content]

  provisioner "local-exec" {
    command = var.gate == "" ? "true" : "echo at the gate && read _ <${var.gate}"
  }
}

output "content" {
  value = terraform_data.this.output
}
"""

BOTH = {}
LOCKFILE = {"dynamodb_table": None}
ONLY_TABLE = {"use_lockfile": "false"}
LOCKS = {"both locks": BOTH, "the lock file": LOCKFILE, "the table": ONLY_TABLE}


class Root:
    """A folder with an environment's backend.tf."""

    def __init__(self, store, environment="dev", settings=None, remote=True):
        self.store = store
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="state-"))
        self.environment = environment
        self.processes = []
        (self.folder / "main.tf").write_text(ROOT)
        merged = {**store.settings, **(settings or {})}
        self.config = [f"-backend-config={name}={value}" for name, value in merged.items() if value is not None]
        if remote:
            self.move_in()

    def move_in(self, *arguments):
        shutil.copy(TERRAFORM / "environments" / self.environment / "backend.tf", self.folder)
        self.run("init", "-input=false", *self.config, *arguments)

    def start(self, *arguments, **environment):
        process = subprocess.Popen(
            ["terraform", *arguments], cwd=self.folder, env={**self.store.environment, **environment}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.processes.append(process)
        return process

    def run(self, *arguments, fails=False):
        process = self.start(*arguments)
        printed = process.communicate(timeout=TIMEOUT)[0]
        assert (process.returncode != 0) == fails, f"terraform {' '.join(arguments)}: {process.returncode}\n{printed}"
        # Removes colors, frames and line breaks from messages.
        return " ".join(re.sub(r"\x1b\[\d*m|[│╷╵]", " ", printed).split())

    def apply(self, content, *arguments, **options):
        return self.run("apply", "-auto-approve", "-no-color", f"-var=content={content}", *arguments, **options)

    def content(self):
        return self.run("output", "-raw", "content")

    @contextlib.contextmanager
    def applying(self, content):
        """Inside, an apply is in progress; it completes at the end."""
        gate = self.folder / "gate"
        os.mkfifo(gate)
        process = self.start("apply", "-auto-approve", "-no-color", f"-var=content={content}", f"-var=gate={gate}")
        printed = read_until("(local-exec): at the gate", process)
        assert "at the gate" in printed, printed
        try:
            yield process
            if process.poll() is None:
                gate.write_text("\n")
            process.finished = process.communicate(timeout=TIMEOUT)[0]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
            gate.unlink()

    def remove(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.wait()
            process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def read_until(wanted, process):
    """The output of a process up to the line that contains this, or all of it."""
    printed = ""
    for line in process.stdout:
        printed += line
        if wanted in line:
            break
    return printed


class Store:
    """A bucket and a table like those of backend-setup."""

    def __init__(self, moto, number):
        self.s3, self.dynamodb = moto.client("s3"), moto.client("dynamodb")
        self.bucket = f"voting-app-terraform-state-{number}"
        self.key_arn = moto.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.dynamodb.create_table(
            TableName=f"{TABLE}-{number}", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}], KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        )  # fmt: skip
        self.settings = {"bucket": self.bucket, "region": REGION, "dynamodb_table": f"{TABLE}-{number}", "kms_key_id": self.key_arn}
        self.environment = {**moto.environment(), "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}
        self.table = f"{TABLE}-{number}"

    def versions(self, key):
        return [version for version in self.s3.list_object_versions(Bucket=self.bucket, Prefix=key).get("Versions", []) if version["Key"] == key]

    def locks(self):
        """The present locks: keys of lock files, and rows of the table other than checksums."""
        files = [item["Key"] for item in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", []) if item["Key"].endswith(".tflock")]
        rows = [row["LockID"]["S"] for row in self.dynamodb.scan(TableName=self.table)["Items"]]
        return sorted(files), sorted(row for row in rows if not row.endswith("-md5"))


class State(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.moto = Moto(REGION)
        cls.addClassCleanup(cls.moto.stop)
        cls.stores = 0

    def setUp(self):
        self.use_new_store()

    def use_new_store(self):
        """Switches to an empty bucket and an empty table."""
        State.stores += 1
        self.store = Store(self.moto, State.stores)

    def root(self, *arguments, **options):
        root = Root(self.store, *arguments, **options)
        self.addCleanup(root.remove)
        return root

    def key(self, environment="dev"):
        return f"{environment}/terraform.tfstate"

    def test_the_stand_in_does_not_reject_a_retried_request(self):
        dynamodb, sent = self.moto.client("dynamodb"), []
        dynamodb.meta.events.register("before-send.dynamodb.PutItem", lambda request, **_: sent.append(request))
        row = {"TableName": self.store.table, "Item": {"LockID": {"S": "lock"}}, "ConditionExpression": "attribute_not_exists(LockID)"}
        dynamodb.put_item(**row)
        first = sent[0]
        headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in first.headers.items()}
        with urllib.request.urlopen(urllib.request.Request(first.url, first.body, headers)) as repeated:
            self.assertEqual(repeated.status, 200)
        with self.assertRaises(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(**row)

    def test_each_environment_has_its_own_state_encrypted(self):
        for environment in ENVIRONMENTS:
            self.root(environment).apply(environment)
        for environment in ENVIRONMENTS:
            kept = self.store.s3.get_object(Bucket=self.store.bucket, Key=self.key(environment))
            self.assertEqual((kept["ServerSideEncryption"], kept["SSEKMSKeyId"]), ("aws:kms", self.store.key_arn))
            self.assertEqual(json.loads(kept["Body"].read())["outputs"]["content"]["value"], environment)

    def test_only_one_apply_changes_an_environment_at_a_time(self):
        for name, settings in LOCKS.items():
            with self.subTest(name):
                self.use_new_store()
                first, second = self.root("staging", settings=settings), self.root("staging", settings=settings)
                before = len(self.store.versions(self.key("staging")))
                with first.applying(f"first {name}") as process:
                    files, rows = self.store.locks()
                    self.assertEqual(files, [] if settings == ONLY_TABLE else ["staging/terraform.tfstate.tflock"])
                    self.assertEqual(rows, [] if settings == LOCKFILE else [f"{self.store.bucket}/staging/terraform.tfstate"])
                    error = second.apply("second", fails=True)
                    self.assertIn("Error acquiring the state lock", error)
                    self.assertIn("Operation: OperationTypeApply", error)
                    self.assertEqual(len(self.store.versions(self.key("staging"))), before)
                self.assertEqual(process.returncode, 0, process.finished)
                self.assertEqual(second.content(), f"first {name}")
                self.assertEqual(self.store.locks(), ([], []))

    def test_one_lock_is_enough_to_block_a_command_that_uses_both(self):
        for name, settings in {"the lock file": LOCKFILE, "the table": ONLY_TABLE}.items():
            with self.subTest(name):
                self.use_new_store()
                with self.root(settings=settings).applying(f"alone with {name}"):
                    self.assertIn("Error acquiring the state lock", self.root().apply("both", fails=True))

    def test_a_command_can_wait_for_the_lock(self):
        # Terraform fails instead of waiting if the lock is released between its attempt to acquire it and its request for the owner.
        # So its next attempt is held until the first has released both locks.
        first, second = self.root(), self.root()
        with self.moto.holding("the-second") as held:
            with first.applying("first"):
                waiting = second.start("apply", "-auto-approve", "-no-color", f"-lock-timeout={TIMEOUT}s", "-var=content=second", TF_APPEND_USER_AGENT="the-second")
                self.assertTrue(held.rejected.wait(TIMEOUT), "the second has not tried to acquire the lock")
                self.assertIsNone(waiting.poll())
            self.assertEqual(self.store.locks(), ([], []))
        printed = waiting.communicate(timeout=TIMEOUT)[0]
        self.assertEqual(waiting.returncode, 0, printed)
        self.assertIn("Acquiring state lock", printed)
        self.assertEqual(first.content(), "second")

    def test_the_lock_of_a_killed_process_is_removed_by_its_id(self):
        for name, settings in LOCKS.items():
            with self.subTest(name):
                self.use_new_store()
                root = self.root(settings=settings)
                with root.applying(f"never with {name}") as process:
                    os.killpg(process.pid, 9)
                    process.wait()
                error = root.apply("after", fails=True)
                lock = re.search(r"ID: ([0-9a-f-]{36})", error)[1]
                self.assertIn("does not match", root.run("force-unlock", "-force", "00000000-0000-0000-0000-000000000000", fails=True))
                # Two locks have two ids.
                for _ in range(2):
                    root.run("force-unlock", "-force", lock)
                    if self.store.locks() == ([], []):
                        break
                    lock = re.search(r"ID: ([0-9a-f-]{36})", root.apply("after", fails=True))[1]
                self.assertEqual(self.store.locks(), ([], []))
                root.apply(f"after {name}")
                self.assertEqual(root.content(), f"after {name}")

    def test_every_apply_with_changes_creates_a_version(self):
        root = self.root()
        for number in range(1, 4):
            root.apply(f"apply {number}")
            self.assertEqual(len(self.store.versions(self.key())), number)
        root.apply("apply 3")
        self.assertEqual(len(self.store.versions(self.key())), 3, "there is a new version without changes")

    def test_a_local_state_is_migrated(self):
        root = self.root(remote=False)
        root.run("init", "-input=false")
        root.apply("local")
        local = json.loads((root.folder / "terraform.tfstate").read_text())
        root.move_in("-migrate-state", "-force-copy")
        kept = json.loads(self.store.s3.get_object(Bucket=self.store.bucket, Key=self.key())["Body"].read())
        for part in ["resources", "outputs"]:
            self.assertEqual(kept[part], local[part])
        self.assertEqual((root.folder / "terraform.tfstate").read_text(), "", "the state is in two places")
        self.assertIn("No changes", root.run("plan", "-no-color", "-var=content=local"))

    def old_version(self, root):
        root.apply("good")
        good = self.store.versions(self.key())[0]["VersionId"]
        root.apply("bad")
        return good

    def test_an_older_state_is_pushed_back(self):
        for name, settings in LOCKS.items():
            with self.subTest(name):
                self.use_new_store()
                root = self.root(settings=settings)
                good = self.old_version(root)
                self.store.s3.download_file(self.store.bucket, self.key(), root.folder / "good.tfstate", ExtraArgs={"VersionId": good})
                self.assertIn("serial", root.run("state", "push", "good.tfstate", fails=True))
                root.run("state", "push", "-force", "good.tfstate")
                self.assertEqual(root.content(), "good")
                self.assertIn("1 to add", root.run("plan", "-no-color", "-var=content=next"))

    def test_an_older_object_needs_its_checksum_in_the_table(self):
        root = self.root()
        good = self.old_version(root)
        self.store.s3.copy_object(Bucket=self.store.bucket, Key=self.key(), CopySource={"Bucket": self.store.bucket, "Key": self.key(), "VersionId": good})
        error = root.run("plan", "-no-color", "-var=content=good", fails=True)
        self.assertIn("does not have the expected content", error)
        checksum = re.search(r"(?:[Cc]alculated|value).*?([0-9a-f]{32})", error)[1]
        item = {"LockID": {"S": f"{self.store.bucket}/{self.key()}-md5"}, "Digest": {"S": checksum}}
        self.assertIn(item["LockID"]["S"], [row["LockID"]["S"] for row in self.store.dynamodb.scan(TableName=self.store.table)["Items"]])
        self.store.dynamodb.put_item(TableName=self.store.table, Item=item)
        self.assertIn("No changes", root.run("plan", "-no-color", "-var=content=good"))

    def test_an_older_object_needs_no_checksum_with_only_the_lock_file(self):
        root = self.root(settings=LOCKFILE)
        good = self.old_version(root)
        self.store.s3.copy_object(Bucket=self.store.bucket, Key=self.key(), CopySource={"Bucket": self.store.bucket, "Key": self.key(), "VersionId": good})
        self.assertIn("No changes", root.run("plan", "-no-color", "-var=content=good"))


if __name__ == "__main__":
    unittest.main()
