"""Tests the runbook that adopts an existing installation: its import blocks have valid addresses, and imported resources are updated
and not replaced."""

import json
import pathlib
import re
import tempfile
import unittest

from environments import CAN_PLAN, ENVIRONMENTS, TERRAFORM, plan, resources, root, terraform
from life import Environment

RUNBOOK = (TERRAFORM / "runbooks/adopt.md").read_text()
IMPORTS = re.findall(r'import \{\n  to = (\S.*)\n  id = "(.+)"\n\}', RUNBOOK)

# Prefixes of the ids that the import of each type uses, from the provider's documentation.
IDS = {
    "aws_internet_gateway": "igw-",
    "aws_route": "rtb-",
    "aws_route_table": "rtb-",
    "aws_route_table_association": "subnet-",
    "aws_security_group": "sg-",
    "aws_subnet": "subnet-",
    "aws_vpc": "vpc-",
    "aws_vpc_security_group_ingress_rule": "sgr-",
}

# The existing installation: a network, its groups, and the manually created rule.
BEFORE = """
resource "aws_vpc" "main" {
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true
  enable_dns_support   = true
}

resource "aws_security_group" "frontend" {
  name        = "frontend-sg"
  description = "Frontend"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "by_hand" {
  security_group_id = aws_security_group.frontend.id
  ip_protocol       = "tcp"
  from_port         = 5001
  to_port           = 5001
  cidr_ipv4         = "0.0.0.0/0"
}
"""
ADDRESSES = {
    "aws_vpc.main": 'module.voting_app.module.vpc["this"].aws_vpc.this',
    "aws_security_group.frontend": 'module.voting_app.module.security.aws_security_group.this["front"]',
    "aws_vpc_security_group_ingress_rule.by_hand": 'module.voting_app.module.security.aws_vpc_security_group_ingress_rule.this["result from 0.0.0.0/0"]',
}
FRONTEND = {"front": {"name": "frontend-sg", "description": "Frontend"}}


class Adopt(unittest.TestCase):
    def test_each_address_exists_in_an_environment(self):
        self.assertGreater(len(IMPORTS), 8)
        # The runbook's zones differ from those of the plan.
        planned = {re.sub(r'"[a-z]+-[a-z]+-\d[a-z]"', '"ZONE"', address) for address in resources(plan("dev"))}
        for address, _ in IMPORTS:
            with self.subTest(address):
                self.assertIn(re.sub(r'"[a-z]+-[a-z]+-\d[a-z]"', '"ZONE"', address), planned)

    def test_each_id_matches_its_type(self):
        for address, identity in IMPORTS:
            with self.subTest(address):
                self.assertTrue(identity.startswith(IDS[re.search(r"\.(aws_\w+)\.", address)[1]]), identity)

    def test_the_blocks_are_valid_in_each_environment(self):
        blocks = "\n\n".join(re.findall(r"(?ms)^```terraform\n(.*?)^```$", RUNBOOK))
        for environment in ENVIRONMENTS:
            with self.subTest(environment):
                file = root(environment) / "adopt.tf"
                self.addCleanup(file.unlink)
                file.write_text(blocks)
                terraform(root(environment), "validate", "-no-color")

    def actions(self, **variables):
        """The planned actions on the existing resources after they are in the environment's state."""
        environment = Environment("dev")
        self.addCleanup(environment.state.cleanup)
        state = f"{environment.state.name}/terraform.tfstate"
        with tempfile.TemporaryDirectory() as before:
            pathlib.Path(before, "main.tf").write_text(BEFORE + (TERRAFORM / "environments/dev/versions.tf").read_text())
            terraform(before, "init", "-input=false")
            terraform(before, "apply", "-input=false", "-auto-approve")
            for old, new in ADDRESSES.items():
                terraform(before, "state", "mv", f"-state={before}/terraform.tfstate", f"-state-out={state}", old, new)
        planned = f"{environment.state.name}/plan"
        terraform(environment.folder, "plan", f"-out={planned}", *environment.arguments(variables))
        changes = json.loads(terraform(environment.folder, "show", "-json", planned).stdout)["resource_changes"]
        return {change["address"]: (change["change"]["actions"], change["change"]) for change in changes if change["address"] in ADDRESSES.values()}

    @unittest.skipUnless(CAN_PLAN, "the provider plans nothing without an account")
    def test_adopted_resources_are_updated_and_not_replaced(self):
        actions = self.actions(adopted_groups=FRONTEND)
        self.assertEqual({address: action for address, (action, _) in actions.items()}, {address: ["update"] for address in ADDRESSES.values()})
        ports = actions[ADDRESSES["aws_vpc_security_group_ingress_rule.by_hand"]][1]
        self.assertEqual((ports["before"]["from_port"], ports["after"]["from_port"], ports["after"]["to_port"]), (5001, 8081, 8081))

    @unittest.skipUnless(CAN_PLAN, "the provider plans nothing without an account")
    def test_a_group_without_its_existing_name_would_be_replaced(self):
        actions = self.actions()
        self.assertEqual(actions[ADDRESSES["aws_security_group.frontend"]][0], ["create", "delete"])


if __name__ == "__main__":
    unittest.main()
