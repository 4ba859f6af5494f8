"""Monthly costs of the environments: the amounts in their plans, multiplied by prices. Prints the README's table."""

import collections
import json
import pathlib
import re
import tomllib

from environments import plan, resources

PRICES = tomllib.loads((pathlib.Path(__file__).parent / "prices.toml").read_text())
HOURS = 730
# Endpoints that prod needs to reach AWS services only inside its network.
ENDPOINTS = ["autoscaling", "ec2", "logs", "monitoring", "secretsmanager", "sns", "ssm", "ssmmessages"]
COLUMNS = {"dev": {}, "dev with enable_alb": {"enable_alb": True}, "staging": {}, "prod": {}, "prod with endpoints": {"interface_endpoints": ENDPOINTS}}

# The CloudWatch agent reports memory, each of two disks and the maximum of both; EC2's detailed monitoring has seven metrics.
METRICS_OF_A_MACHINE = 4 + 7


def price(item):
    return PRICES["hourly"][item] * HOURS if item in PRICES["hourly"] else PRICES["monthly"][item]


def machines(planned):
    """Launch templates, each with its initial number of machines."""
    for address, template in planned.items():
        module, found, _ = address.rpartition(".aws_launch_template.")
        if found:
            group = planned.get(f'{module}.aws_autoscaling_group.this["this"]')
            yield template, group["desired_capacity"] if group else 1


def amounts(column):
    """The amount of each billed item in an environment."""
    planned = resources(plan(column.split()[0], **COLUMNS[column]))
    of = collections.defaultdict(list)
    for address, values in planned.items():
        of[re.search(r"(?:^|\.)(aws_\w+)\.", address)[1]].append(values)
    has = collections.Counter(PRICES["use"][column])
    for template, number in machines(planned):
        has[template["instance_type"]] += number
        has["GB of disk (gp3)"] += number * template["block_device_mappings"][0]["ebs"][0]["volume_size"]
        has["metric"] += number * METRICS_OF_A_MACHINE
        if any(interface["associate_public_ip_address"] == "true" for interface in template["network_interfaces"]):
            has["public IPv4 address"] += number
    has["metric"] += 1 + len(of["aws_instance"])  # age of the oldest ballot; liveness of a single machine
    has["GB of disk (gp3)"] += sum(volume["size"] for volume in of["aws_ebs_volume"])
    has["public IPv4 address"] += len(of["aws_eip"])
    has["NAT gateway"] = len(of["aws_nat_gateway"])
    zones = len([subnet for subnet in of["aws_subnet"] if subnet["tags"]["Tier"] == "public"])
    has["load balancer"] = len(of["aws_lb"])
    # A load balancer has an address in each zone, and so has each interface endpoint.
    has["public IPv4 address"] += len(of["aws_lb"]) * zones
    has["interface endpoint in a zone"] = zones * len([endpoint for endpoint in of["aws_vpc_endpoint"] if endpoint["vpc_endpoint_type"] == "Interface"])
    for store in of["aws_db_instance"]:
        number = 2 if store["multi_az"] else 1
        has[store["instance_class"]] += number
        has["GB of the store's disk"] += number * store["allocated_storage"]
        has["managed password"] += 1
    for queue in of["aws_memorydb_cluster"]:
        has[f"memorydb {queue['node_type']}"] += queue["num_shards"] * (1 + queue["num_replicas_per_shard"])
    has["alarm"] = len(of["aws_cloudwatch_metric_alarm"])
    has["key"] = len(of["aws_kms_key"])
    for acl in of["aws_wafv2_web_acl"]:
        has["WAF"] += 1
        has["WAF rule"] += len(json.loads(acl["rule_json"]))
    return {item: amount for item, amount in has.items() if amount}


def table():
    """Markdown, one column for each environment."""
    has = {column: amounts(column) for column in COLUMNS}
    rows = [f"| a month, in USD | each | {' | '.join(COLUMNS)} |", f"|---|---|{'---|' * len(COLUMNS)}"]
    for item in [*PRICES["hourly"], *PRICES["monthly"]]:
        if any(item in amount for amount in has.values()):
            each = price(item)
            cells = [f"{amount[item]:g} → {amount[item] * each:.2f}" if item in amount else "" for amount in has.values()]
            note = " (from memory)" if item in PRICES["sources"]["memory"]["items"] else ""
            rows.append(f"| {item}{note} | {f'{each:.2f}' if each >= 1 else f'{each:.4g}'} | {' | '.join(cells)} |")
    totals = [sum(amount * price(item) for item, amount in column.items()) for column in has.values()]
    rows.append(f"| **together** | | {' | '.join(f'**{total:.0f}**' for total in totals)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
