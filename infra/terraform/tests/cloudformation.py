"""Translates a plan into a CloudFormation template, because CloudFormation's schemas define which values AWS accepts.

Names are matched by their letters (`cidr_block` is CidrBlock), and by a table where they differ. Arguments without a counterpart are
omitted; values known only after the apply become an import, which is valid everywhere."""

import functools
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

REGION = "ap-northeast-2"
COUNT = itertools.count()

TYPES = {
    "aws_acm_certificate": "AWS::CertificateManager::Certificate",
    "aws_autoscaling_group": "AWS::AutoScaling::AutoScalingGroup",
    "aws_autoscaling_policy": "AWS::AutoScaling::ScalingPolicy",
    "aws_cloudfront_distribution": "AWS::CloudFront::Distribution",
    "aws_cloudfront_function": "AWS::CloudFront::Function",
    "aws_cloudwatch_log_group": "AWS::Logs::LogGroup",
    "aws_cloudwatch_metric_alarm": "AWS::CloudWatch::Alarm",
    "aws_db_instance": "AWS::RDS::DBInstance",
    "aws_db_parameter_group": "AWS::RDS::DBParameterGroup",
    "aws_ebs_volume": "AWS::EC2::Volume",
    "aws_eip": "AWS::EC2::EIP",
    "aws_flow_log": "AWS::EC2::FlowLog",
    "aws_kms_alias": "AWS::KMS::Alias",
    "aws_kms_key": "AWS::KMS::Key",
    "aws_launch_template": "AWS::EC2::LaunchTemplate",
    "aws_lb": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "aws_lb_listener": "AWS::ElasticLoadBalancingV2::Listener",
    "aws_lb_listener_rule": "AWS::ElasticLoadBalancingV2::ListenerRule",
    "aws_lb_target_group": "AWS::ElasticLoadBalancingV2::TargetGroup",
    "aws_memorydb_cluster": "AWS::MemoryDB::Cluster",
    "aws_memorydb_parameter_group": "AWS::MemoryDB::ParameterGroup",
    "aws_memorydb_user": "AWS::MemoryDB::User",
    "aws_nat_gateway": "AWS::EC2::NatGateway",
    "aws_route53_record": "AWS::Route53::RecordSet",
    "aws_security_group": "AWS::EC2::SecurityGroup",
    "aws_sns_topic": "AWS::SNS::Topic",
    "aws_ssm_parameter": "AWS::SSM::Parameter",
    "aws_subnet": "AWS::EC2::Subnet",
    "aws_vpc": "AWS::EC2::VPC",
    "aws_vpc_endpoint": "AWS::EC2::VPCEndpoint",
    "aws_vpc_security_group_egress_rule": "AWS::EC2::SecurityGroupEgress",
    "aws_vpc_security_group_ingress_rule": "AWS::EC2::SecurityGroupIngress",
    "aws_wafv2_web_acl": "AWS::WAFv2::WebACL",
}

# Names that do not match by their letters.
NAMES = {
    "aws_autoscaling_group": {"name": "AutoScalingGroupName"},
    "aws_cloudfront_distribution": {"origin_id": "Id"},
    "aws_cloudfront_function": {"code": "FunctionCode"},
    "aws_cloudwatch_log_group": {"name": "LogGroupName"},
    "aws_db_instance": {"ca_cert_identifier": "CACertificateIdentifier", "identifier": "DBInstanceIdentifier", "instance_class": "DBInstanceClass", "performance_insights_enabled": "EnablePerformanceInsights", "username": "MasterUsername", "parameter_group_name": "DBParameterGroupName"},
    "aws_ebs_volume": {"type": "VolumeType"},
    "aws_flow_log": {"vpc_id": "ResourceId"},
    "aws_kms_alias": {"name": "AliasName"},
    "aws_lb": {"load_balancer_type": "Type"},
    "aws_lb_listener": {"fixed_response": "FixedResponseConfig", "redirect": "RedirectConfig"},
    "aws_lb_listener_rule": {"path_pattern": "PathPatternConfig", "host_header": "HostHeaderConfig", "fixed_response": "FixedResponseConfig", "forward": "ForwardConfig", "redirect": "RedirectConfig"},
    "aws_memorydb_cluster": {"name": "ClusterName"},
    "aws_memorydb_parameter_group": {"name": "ParameterGroupName"},
    "aws_route53_record": {"zone_id": "HostedZoneId", "alias": "AliasTarget", "records": "ResourceRecords"},
    "aws_security_group": {"description": "GroupDescription", "name": "GroupName"},
    "aws_vpc_security_group_egress_rule": {"security_group_id": "GroupId", "cidr_ipv4": "CidrIp", "referenced_security_group_id": "DestinationSecurityGroupId"},
    "aws_vpc_security_group_ingress_rule": {"security_group_id": "GroupId", "cidr_ipv4": "CidrIp", "referenced_security_group_id": "SourceSecurityGroupId", "prefix_list_id": "SourcePrefixListId"},
}


def later():
    """A unique placeholder for a value known only after the apply."""
    return {"Fn::ImportValue": f"known-after-apply-{next(COUNT)}"}


@functools.cache
def schema(kind):
    return PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema


def resolved(part, whole):
    """A part of a schema, with references resolved."""
    while "$ref" in part:
        part = functools.reduce(dict.__getitem__, part["$ref"].removeprefix("#/").split("/"), whole)
    return part


def plain(name):
    return re.sub("[^a-z0-9]", "", name.lower())


def kind_of(part):
    kind = part.get("type") or ("object" if "properties" in part else "string")
    return next((each for each in kind if each != "null"), "string") if isinstance(kind, list) else kind


def translated(value, unknown, part, whole, names):
    """A value translated for this part of a schema, or None."""
    part = resolved(part, whole)
    kind = kind_of(part)
    if unknown is True:
        return [later()] if kind == "array" else later() if kind != "object" else None
    if value is None or value == []:
        return None
    if kind == "array":
        values = value if isinstance(value, list) else [value]
        unknowns = unknown if isinstance(unknown, list) and len(unknown) == len(values) else [False] * len(values)
        return [found for each, known in zip(values, unknowns) if (found := translated(each, known, part.get("items", {}), whole, names)) is not None] or None
    if kind == "object":
        if isinstance(value, list):
            value, unknown = value[0], unknown[0] if isinstance(unknown, list) and unknown else False
        if not isinstance(value, dict) or "properties" not in part:
            return None
        found = {}
        properties = {plain(name): name for name in part["properties"]}
        after = unknown if isinstance(unknown, dict) else {}
        for name, each in {**dict.fromkeys(after), **value}.items():
            known = after.get(name, False)
            target = names.get(name) or next((properties[guess] for guess in (plain(name), plain(name) + "s") if guess in properties), None)
            if target in part["properties"] and target not in ("Tags", "TagSpecifications"):
                translation = translated(each, known, part["properties"][target], whole, names)
                if translation is not None:
                    found[target] = translation
        return found or None
    if isinstance(value, (dict, list)):
        return None
    if kind in ("integer", "number"):
        return int(value) if float(value) == int(value) else float(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else value == "true"
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def restated(kind, values, unknown):
    """The values and unknowns of a resource, moved to where CloudFormation expects them."""
    if kind == "aws_launch_template":
        return {"launch_template_name": values["name"], "launch_template_data": values}, {"launch_template_data": unknown}
    if kind == "aws_cloudfront_distribution":
        return {"distribution_config": {**values, "origins": values["origin"], "cache_behaviors": values["ordered_cache_behavior"]}}, {"distribution_config": unknown}
    if kind == "aws_lb_target_group":
        check = values["health_check"][0]
        moved = {f"health_check_{name}": check[name] for name in ("path", "protocol", "port") if check.get(name)}
        return {**values, **moved, "health_check_interval_seconds": check["interval"], "health_check_timeout_seconds": check["timeout"], "healthy_threshold_count": check["healthy_threshold"], "unhealthy_threshold_count": check["unhealthy_threshold"], "matcher": [{"http_code": check["matcher"]}]}, unknown
    if kind == "aws_lb_listener" and values["protocol"] == "HTTPS":
        return {**values, "certificates": [{"certificate_arn": "of-the-plan"}]}, unknown
    if kind == "aws_lb_listener_rule":
        fields = {"path_pattern": "path-pattern", "host_header": "host-header"}
        conditions = [{"field": next(field for name, field in fields.items() if condition[name]), **condition} for condition in values["condition"]]
        return {**values, "condition": conditions}, unknown
    if kind == "aws_flow_log":
        return {**values, "resource_type": "VPC"}, unknown
    if kind == "aws_db_parameter_group":
        return {"description": "of the plan", "family": values["family"]}, {}
    if kind == "aws_cloudfront_function":
        return {**values, "auto_publish": values["publish"], "function_config": {"comment": values["comment"], "runtime": values["runtime"]}}, unknown
    return values, unknown


def template(described):
    """A CloudFormation template of the resources in a plan, as far as they can be translated."""
    resources = {}
    for change in described["resource_changes"]:
        kind = TYPES.get(change["type"])
        if change["mode"] != "managed" or not kind or not change["change"]["after"]:
            continue
        values, unknown = restated(change["type"], change["change"]["after"], change["change"].get("after_unknown") or {})
        whole = schema(kind)
        properties = translated(values, unknown, {"properties": whole["properties"], "type": "object"}, whole, NAMES.get(change["type"], {}))
        resources[re.sub("[^A-Za-z0-9]", "", change["address"].title())] = {"Type": kind, "Properties": properties or {}, "Metadata": {"address": change["address"]}}
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def findings(described, region=REGION):
    """The values that AWS would reject: (rule, type, property, message, address)."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        translation = template(described)
        json.dump(translation, file)
        file.flush()
        done = subprocess.run([pathlib.Path(sys.executable).parent / "cfn-lint", "--format=json", f"--regions={region}", file.name], text=True, capture_output=True)
    assert done.returncode in (0, 2, 4, 6, 8, 10, 12, 14), done.stderr
    found = set()
    for each in json.loads(done.stdout or "[]"):
        path = each["Location"]["Path"] or []
        resource = translation["Resources"].get(path[1]) if len(path) > 1 else None
        properties = ".".join(str(step) for step in path[3:] if not isinstance(step, int))
        found.add((each["Rule"]["Id"], resource["Type"] if resource else "", properties, each["Message"], resource["Metadata"]["address"] if resource else ""))
    return sorted(found)
