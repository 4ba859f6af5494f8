"""Tests of the environments: their resources and costs, optional parts, differences between them, and validations."""

import collections
import re
import sys
import unittest

from cost import PRICES, table
from environments import ENVIRONMENTS, EXISTING_NETWORK, TERRAFORM, plan, plan_errors, resources, root, terraform

ALB = re.compile(r'\.module\.alb\["this"\]\.')


def of_type(planned, kind):
    return [values for address, values in planned.items() if re.search(rf"\.{kind}\.", address)]


def text(environment, file):
    return (TERRAFORM / "environments" / environment / file).read_text()


class Environments(unittest.TestCase):
    def test_the_readme_has_the_number_of_resources(self):
        row = re.search(r"(?m)^\| resources \| (.*) \|$", (TERRAFORM / "README.md").read_text())
        self.assertIsNotNone(row)
        plans = {"dev": plan("dev"), "dev with enable_alb": plan("dev", enable_alb=True), "staging": plan("staging"), "prod": plan("prod")}
        counted = {name: str(len(resources(described))) for name, described in plans.items()}
        print(f"resources: {counted}", file=sys.stderr)
        self.assertEqual(row[1].split(" | "), list(counted.values()))

    def test_the_readme_has_the_costs(self):
        print(table(), file=sys.stderr)
        self.assertIn(table(), (TERRAFORM / "README.md").read_text())

    def test_each_price_has_one_source_with_a_date(self):
        sources = PRICES["sources"].values()
        self.assertTrue(all(source["description"] and source["date"] for source in sources))
        listed = [item for source in sources for item in source["items"]]
        self.assertEqual(sorted(listed), sorted([*PRICES["hourly"], *PRICES["monthly"]]))

    def test_enable_alb_adds_the_load_balancer(self):
        without, with_alb = resources(plan("dev")), resources(plan("dev", enable_alb=True))
        added, removed = with_alb.keys() - without.keys(), without.keys() - with_alb.keys()
        self.assertFalse([address for address in without if ALB.search(address)])
        self.assertIn('module.voting_app.module.alb["this"].aws_lb.this', added)
        # In addition: its access to the machine, and its alarms.
        for address in added:
            self.assertRegex(address, rf'{ALB.pattern}|module\.security\..*"(load balancer: |HTTPS? from )|aws_lb_target_group_attachment|aws_cloudwatch_metric_alarm')
        # The machine's own ports remain open until direct_access is false.
        self.assertEqual(removed, set())
        closed = with_alb.keys() - resources(plan("dev", enable_alb=True, direct_access=False)).keys()
        self.assertEqual({re.search(r'\["(\w+) from 0.0.0.0/0"\]$', address)[1] for address in closed}, {"vote", "result"})

    def test_environments_with_groups_have_a_load_balancer_by_default(self):
        self.assertEqual(len([address for address in resources(plan("dev")) if ALB.search(address)]), 0)
        for environment in ["staging", "prod"]:
            self.assertGreater(len([address for address in resources(plan(environment)) if ALB.search(address)]), 10)

    def test_the_certificate_s_validation_does_not_depend_on_cloudfront(self):
        # CloudFront needs a certificate, which is validated by records; other records of the same module need CloudFront.
        edges = re.findall(r'"\[root\] ([^"]+)" -> "\[root\] ([^"]+)"', terraform(root("prod"), "graph", "-type=plan").stdout)
        needs = collections.defaultdict(set)
        for later, earlier in edges:
            needs[later].add(earlier)

        def before(node):
            seen, todo = set(), [node]
            while todo:
                for earlier in needs[todo.pop()] - seen:
                    seen.add(earlier)
                    todo.append(earlier)
            return seen

        validation = "module.voting_app.module.dns.aws_route53_record.validation (expand)"
        distribution = "module.voting_app.module.cdn.aws_cloudfront_distribution.this (expand)"
        alias = "module.voting_app.module.dns.aws_route53_record.this (expand)"
        self.assertIn(distribution, before(alias))
        self.assertTrue(before(validation))
        self.assertNotIn(distribution, before(validation))

    def test_environments_differ_only_in_values(self):
        for file in ["providers.tf", "versions.tf", "outputs.tf", "backend.tf"]:
            self.assertEqual(len({text(environment, file).replace(environment, "") for environment in ENVIRONMENTS}), 1, file)

        # Symbolic links to one file, and no copies.
        for environment in ENVIRONMENTS:
            link = TERRAFORM / "environments" / environment / "variables.tf"
            self.assertTrue(link.is_symlink() and link.samefile(TERRAFORM / "environments" / "variables.tf"), f"{link} is no link to ../variables.tf")
        for environment in ENVIRONMENTS:
            calls = re.findall(r'(?m)^(module|resource|data) "(\w+)"', text(environment, "main.tf"))
            self.assertEqual(calls, [("module", "voting_app")])
            self.assertIn(f'key          = "{environment}/terraform.tfstate"', text(environment, "backend.tf"))

    def test_an_existing_network_is_used_and_not_created(self):
        for environment in ENVIRONMENTS:
            with self.subTest(environment):
                described = plan(environment, existing_network=EXISTING_NETWORK)
                planned = resources(described)
                kinds = {change["type"] for change in described["resource_changes"] if change["mode"] == "managed"}
                self.assertFalse([kind for kind in kinds if re.search("aws_(vpc|subnet|internet_gateway|nat_gateway|route|flow_log)$", kind)])
                groups = {address: values for address, values in planned.items() if ".aws_security_group." in address}
                self.assertEqual(len(groups), 6)
                self.assertEqual({values["vpc_id"] for values in [*groups.values(), *of_type(planned, "aws_lb_target_group")]}, {EXISTING_NETWORK["vpc_id"]})
                subnets = {tier: [zone[tier] for zone in EXISTING_NETWORK["zones"].values()] for tier in ["public", "private", "data"]}
                for values in of_type(planned, "aws_lb"):
                    self.assertEqual(sorted(values["subnets"]), subnets["public"])
                for values in of_type(planned, "aws_autoscaling_group"):
                    self.assertEqual(sorted(values["vpc_zone_identifier"]), subnets["private"])
                for kind in ["aws_db_subnet_group", "aws_memorydb_subnet_group"]:
                    for values in of_type(planned, kind):
                        self.assertEqual(sorted(values["subnet_ids"]), subnets["data"])
                for values in of_type(planned, "aws_ebs_volume"):
                    self.assertEqual(values["availability_zone"], sorted(EXISTING_NETWORK["zones"])[0])

    def test_the_region_is_only_a_variable(self):
        described = plan("dev", region="eu-central-1")
        provider = described["configuration"]["provider_config"]["aws"]["expressions"]["region"]
        self.assertEqual((provider, described["variables"]["region"]["value"]), ({"references": ["var.region"]}, "eu-central-1"))
        for file in TERRAFORM.rglob("*.tf"):
            if ".terraform" not in file.parts and file.name != "variables.tf":
                self.assertNotIn("ap-northeast-2", file.read_text(), file)
                # Other partitions, such as that of China, have other ARNs.
                self.assertNotIn('"arn:aws:', file.read_text(), file)

    def test_all_resources_have_default_tags(self):
        for environment in ENVIRONMENTS:
            tags = plan(environment)["configuration"]["provider_config"]["aws"]["expressions"]["default_tags"][0]["tags"]["constant_value"]
            self.assertEqual(tags, {"Project": "voting-app", "Environment": environment, "ManagedBy": "Terraform"})

    def test_invalid_values_are_rejected_with_a_message(self):
        wide, alien = ["0.0.0.0/0"], ["203.0.113.300/32"]
        inverted, huge = {"min": 5, "desired": 2, "max": 9}, {"min": 1, "desired": 1, "max": 1000}
        size = "size must be 0 <= min <= desired <= max, and max 1 to 100"
        # A plan reports all invalid values.
        for environment, variables, messages in [
            (
                "dev",
                {"admin_cidrs": wide, "public_cidrs": ["anywhere"], "region": "Seoul", "https": True},
                [
                    "admin_cidrs must be networks of /16 or smaller, such as 203.0.113.7/32",
                    "public_cidrs must be IPv4 networks such as 0.0.0.0/0 for all",
                    "region must be an AWS region such as ap-northeast-2",
                    "https is terminated at the load balancer: set enable_alb = true too",
                ],
            ),
            ("dev", {"admin_cidrs": alien}, ["admin_cidrs must be IPv4 networks such as 203.0.113.7/32"]),
            (
                "prod",
                {"domain": None, "releases": {"blue": {"tag": "1.0.0", "size": inverted}}},
                ["https needs a certificate: set domain, for which one is created, or certificate_arn", size],
            ),
            ("prod", {"releases": {"blue": {"tag": "1.0.0", "size": huge}}}, [size]),
            ("prod", {"releases": {"blue": {"tag": "latest"}}}, ["set a version, such as 1.0.0"]),
            ("prod", {"https": False}, ["Without HTTPS, anyone on the network path can read and change votes: set https = true"]),
            ("prod", {"cdn_only": True}, ["set enable_cdn = true first, and apply"]),
            ("dev", {"direct_access": False}, ["set enable_alb = true first, and apply"]),
            (
                "staging",
                {"enable_alb": False, "emails": ["the operators"]},
                ["Auto scaling groups need the load balancer: set enable_alb = true", "emails must be addresses such as oncall@example.org"],
            ),
        ]:
            with self.subTest(f"{environment} {variables}"):
                errors = plan_errors(environment, **variables)
                for message in messages:
                    self.assertIn(message, errors)


if __name__ == "__main__":
    unittest.main()
