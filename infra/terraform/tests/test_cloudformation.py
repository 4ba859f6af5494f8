"""Checks the values in the plans against the schemas that AWS publishes, and that mistakes are detected."""

import copy
import re
import unittest

from cloudformation import findings
from environments import plan

PLANS = {"dev": {"enable_alb": True}, "staging": {}, "prod": {"enable_cdn": True, "cdn_only": True}}
# Other regions where staging's machines, store and queue must be available.
OTHER_REGIONS = ["eu-central-1", "us-east-1"]

# Findings caused by the translation or by CloudFormation itself: rule and subject.
ARTEFACTS = {
    ("E1016", "AWS::CertificateManager::Certificate DomainValidationOptions"): "known after the apply",
    ("E3003", "AWS::WAFv2::WebACL"): "its default action has no content, so it is not translated",
    ("E3003", "AWS::Route53::RecordSet AliasTarget"): "its name is not translated",
    ("E3030", "AWS::SSM::Parameter Type"): "CloudFormation does not support SecureString",
    ("W3010", "AWS::EC2::Subnet AvailabilityZone"): "the plan has the zones of its region",
    ("W3010", "AWS::EC2::Volume AvailabilityZone"): "the plan has the zones of its region",
}

# Mistakes that a provider without AWS's rules does not detect: resource, path of the argument, wrong value.
MISTAKES = [
    (r"aws_lb\.this$", ["load_balancer_type"], "software"),
    (r"aws_lb_target_group\.this\[\"vote-blue", ["protocol"], "SPDY"),
    (r"aws_lb_target_group\.this\[\"vote-blue", ["port"], 80800),
    (r"aws_lb_target_group\.this\[\"vote-blue", ["health_check", 0, "interval"], 3),
    (r"aws_lb_target_group\.this\[\"vote-blue", ["health_check", 0, "healthy_threshold"], 20),
    (r"aws_lb_listener\.http$", ["protocol"], "HTTP/2"),
    (r"aws_lb_listener\.http$", ["default_action", 0, "type"], "reply"),
    (r"aws_db_instance\.this", ["instance_class"], "db.t4g.tiny"),
    (r"aws_db_instance\.this", ["engine"], "postgresql"),
    (r"aws_db_instance\.this", ["engine_version"], "9"),
    (r"aws_db_instance\.this", ["backup_retention_period"], 99),
    (r"aws_launch_template\.this", ["instance_type"], "t4g.tiny"),
    (r"aws_launch_template\.this", ["metadata_options", 0, "http_tokens"], "demanded"),
    (r"aws_launch_template\.this", ["block_device_mappings", 0, "ebs", 0, "volume_type"], "gp33"),
    (r"front.*aws_autoscaling_policy\.cpu", ["target_tracking_configuration", 0, "predefined_metric_specification", 0, "predefined_metric_type"], "ASGCpu"),
    (r"aws_cloudwatch_log_group\.services", ["retention_in_days"], 31),
    (r"aws_cloudwatch_metric_alarm\.this\[\"backlog", ["comparison_operator"], "GreaterThan"),
    (r"aws_cloudwatch_metric_alarm\.this\[\"backlog", ["statistic"], "Max"),
    (r"aws_cloudwatch_metric_alarm\.this\[\"backlog", ["treat_missing_data"], "breach"),
    (r"aws_flow_log\.this", ["traffic_type"], "EVERYTHING"),
    (r"aws_flow_log\.this", ["log_destination_type"], "cloudwatch"),
    (r"aws_vpc_endpoint\.s3", ["vpc_endpoint_type"], "Gate"),
    (r"aws_cloudfront_distribution\.this", ["http_version"], "http4"),
    (r"aws_cloudfront_distribution\.this", ["price_class"], "PriceClass_300"),
    (r"aws_cloudfront_distribution\.this", ["viewer_certificate", 0, "minimum_protocol_version"], "TLSv1.9"),
    (r"aws_cloudfront_distribution\.this", ["default_cache_behavior", 0, "viewer_protocol_policy"], "https"),
]


def unjustified(described, **options):
    return [each for each in findings(described, **options) if (each[0], f"{each[1]} {each[2]}".strip()) not in ARTEFACTS]


def with_mistakes(described):
    """A copy of a resource of the plan for each mistake, with the mistake in it."""
    changes = []
    for number, (pattern, path, value) in enumerate(MISTAKES):
        change = copy.deepcopy(next(each for each in described["resource_changes"] if each["mode"] == "managed" and re.search(pattern, each["address"])))
        container = change["change"]["after"]
        for step in path[:-1]:
            container = container[step]
        container[path[-1]] = value
        changes.append({**change, "address": f"mistake{number}"})
    return {"resource_changes": changes}


class CloudFormation(unittest.TestCase):
    def test_aws_accepts_every_value(self):
        for environment, variables in PLANS.items():
            with self.subTest(environment):
                self.assertEqual(unjustified(plan(environment, **variables)), [])

    def test_other_regions_support_the_resources_of_an_environment(self):
        for region in OTHER_REGIONS:
            with self.subTest(region):
                self.assertEqual(unjustified(plan("staging", region=region), region=region), [])

    def test_an_instance_class_missing_in_a_region_is_detected(self):
        # x2g is in us-east-1, and not in eu-west-3.
        described = copy.deepcopy(plan("staging"))
        store = next(each for each in described["resource_changes"] if each["type"] == "aws_db_instance")
        store["change"]["after"]["instance_class"] = "db.x2g.large"
        self.assertEqual(unjustified(described, region="us-east-1"), [])
        self.assertNotEqual(unjustified(described, region="eu-west-3"), [])

    def test_mistakes_are_detected(self):
        detected = {address for *_, address in unjustified(with_mistakes(plan("prod", **PLANS["prod"])))}
        missed = [mistake for number, mistake in enumerate(MISTAKES) if f"mistake{number}" not in detected]
        self.assertEqual(missed, [])


if __name__ == "__main__":
    unittest.main()
