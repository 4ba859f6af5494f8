"""Tests changes of environments: the order of the operations, that the pages remain available, and that the plan after an apply is
empty. The order is Terraform's own; only AWS's responses are simulated."""

import unittest

from environments import ENVIRONMENTS, EXISTING_NETWORK
from life import Environment

BLUE, GREEN = {"tag": "0.1.0", "weight": 100}, {"tag": "0.2.0", "weight": 100}
RULE, GROUP, INGRESS = "aws_lb_listener_rule", "aws_lb_target_group", "aws_vpc_security_group_ingress_rule"


def positions(steps, what, kind):
    """The positions of an operation on resources of a type."""
    return [index for index, (op, each, _) in enumerate(steps) if (op, each) == (what, kind)]


class Life(unittest.TestCase):
    def environment(self, name):
        environment = Environment(name)
        self.addCleanup(environment.state.cleanup)
        return environment

    def applied(self, environment, **variables):
        """The operations of an apply, after which the plan must be empty."""
        steps = environment.apply(**variables)
        self.assertEqual(environment.remaining_changes(**variables), [], variables)
        return steps

    def assert_before(self, steps, first, then):
        """Asserts that both operations occur, and each of the first before each of the second."""
        before, after = positions(steps, *first), positions(steps, *then)
        self.assertTrue(before and after, f"{first}: {before}, {then}: {after} in {steps}")
        self.assertLess(max(before), min(after), f"{then} comes before {first} in {steps}")

    def assert_nothing_destroyed(self, steps, *kinds):
        self.assertEqual([step for step in steps if step[0] == "destroy" and (not kinds or step[1] in kinds)], [])

    def test_the_plan_after_an_apply_is_empty(self):
        for name in ENVIRONMENTS:
            with self.subTest(name):
                self.applied(self.environment(name))

    def test_an_existing_network_is_not_changed(self):
        environment = self.environment("staging")
        steps = self.applied(environment, existing_network=EXISTING_NETWORK)
        self.assertEqual([step for step in steps if step[1] in ["aws_vpc", "aws_subnet", "aws_route", "aws_default_security_group"]], [])

    def test_machines_start_after_their_routes_rules_and_permissions_exist(self):
        steps = self.applied(self.environment("prod"))
        for first in ["aws_route", "aws_route_table_association", "aws_vpc_security_group_egress_rule", "aws_memorydb_cluster"]:
            self.assert_before(steps, ("create", first), ("create", "aws_autoscaling_group"))
        for role in ["front", "worker"]:
            policy = steps.index(("create", "aws_iam_role_policy", f"role-{role}"))
            groups = [index for index in positions(steps, "create", "aws_autoscaling_group") if f"-{role}" in steps[index][2]]
            self.assertLess(policy, min(groups), steps)

    def test_green_replaces_blue_without_interruption(self):
        environment = self.environment("staging")
        self.applied(environment, releases={"blue": BLUE})
        steps = self.applied(environment, releases={"blue": BLUE, "green": {**GREEN, "weight": 0}})
        self.assert_nothing_destroyed(steps)
        self.assert_before(steps, ("create", GROUP), ("update", RULE))
        steps = self.applied(environment, releases={"blue": {**BLUE, "weight": 0}, "green": GREEN})
        self.assert_nothing_destroyed(steps, RULE, GROUP, "aws_autoscaling_group")
        steps = self.applied(environment, releases={"green": GREEN})
        self.assert_before(steps, ("update", RULE), ("destroy", GROUP))
        self.assert_nothing_destroyed(steps, RULE)
        steps = self.applied(environment, releases={"green": {**GREEN, "tag": "0.3.0"}})
        self.assert_nothing_destroyed(steps)

    def test_http_redirects_only_while_https_serves(self):
        environment = self.environment("prod")
        plain = {"https": False, "domain": None, "allow_plain_http": True}
        self.applied(environment, **plain)
        steps = self.applied(environment)
        self.assert_nothing_destroyed(steps, RULE, "aws_lb_listener", GROUP)
        self.assert_before(steps, ("create", "aws_acm_certificate_validation"), ("create", "aws_lb_listener"))
        self.assert_before(steps, ("create", "aws_lb_listener"), ("update", "aws_lb_listener"))
        self.assert_before(steps, ("create", "aws_lb_listener"), ("update", RULE))
        # The three rules of HTTPS exist before the first update.
        first = min(positions(steps, "update", RULE))
        self.assertGreaterEqual(len([place for place in positions(steps, "create", RULE) if place < first]), 3)
        self.assert_before(steps, ("create", "aws_lb_listener"), ("update", "aws_launch_template"))

        steps = self.applied(environment, **plain)
        self.assert_before(steps, ("update", RULE), ("destroy", "aws_lb_listener"))
        self.assert_before(steps, ("update", "aws_lb_listener"), ("destroy", "aws_lb_listener"))

    def test_cloudfront_exists_before_its_records_and_is_allowed_before_others_are_removed(self):
        environment = self.environment("prod")
        self.applied(environment)
        steps = self.applied(environment, enable_cdn=True)
        self.assert_nothing_destroyed(steps, INGRESS, RULE, "aws_lb_listener", "aws_route53_record")
        self.assert_before(steps, ("create", "aws_cloudfront_distribution"), ("update", "aws_route53_record"))
        steps = self.applied(environment, enable_cdn=True, cdn_only=True)
        self.assert_before(steps, ("create", INGRESS), ("destroy", INGRESS))
        steps = self.applied(environment, enable_cdn=True)
        self.assert_before(steps, ("create", INGRESS), ("destroy", INGRESS))
        steps = self.applied(environment)
        self.assert_before(steps, ("update", "aws_route53_record"), ("destroy", "aws_cloudfront_distribution"))

    def test_a_restore_replaces_only_the_restored_resource_and_ignores_the_snapshot_later(self):
        for name, kind, address, snapshot in [
            ("prod", "aws_db_instance", 'module.voting_app.module.data.aws_db_instance.this["this"]', {"store": "voting-app-prod-then"}),
            ("dev", "aws_ebs_volume", 'module.voting_app.module.everything["this"].aws_ebs_volume.this["this"]', {"disk": "snap-0123456789abcdef0"}),
        ]:
            with self.subTest(name):
                environment = self.environment(name)
                self.applied(environment)
                steps = environment.apply(f"-replace={address}", restore=snapshot)
                self.assert_before(steps, ("destroy", kind), ("create", kind))
                self.assertLessEqual({each for op, each, _ in steps if op == "destroy"}, {kind, "aws_volume_attachment", "aws_instance"})
                self.assertEqual(environment.remaining_changes(), [])

    def test_a_new_machine_keeps_the_address_and_the_disk(self):
        environment = self.environment("dev")
        self.applied(environment)
        steps = self.applied(environment, releases={"blue": GREEN})
        self.assertEqual(len(positions(steps, "create", "aws_instance")), 1)
        self.assert_nothing_destroyed(steps, "aws_eip", "aws_network_interface", "aws_ebs_volume")

    def test_the_load_balancer_is_added_without_closing_the_machine_s_own_ports(self):
        environment = self.environment("dev")
        self.applied(environment)
        steps = self.applied(environment, enable_alb=True)
        self.assert_nothing_destroyed(steps)
        self.assertEqual(positions(steps, "create", "aws_instance"), [])
        steps = self.applied(environment, enable_alb=True, direct_access=False)
        self.assertEqual([step[:2] for step in steps], [("destroy", INGRESS)] * 2)
        steps = self.applied(environment, enable_alb=True)
        self.assertEqual([step[:2] for step in steps], [("create", INGRESS)] * 2)
        steps = self.applied(environment)
        self.assert_nothing_destroyed(steps, "aws_instance")


if __name__ == "__main__":
    unittest.main()
