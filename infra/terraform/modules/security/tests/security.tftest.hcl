mock_provider "aws" {}

variables {
  name          = "voting-app-test"
  vpc_id        = "vpc-1"
  load_balancer = true
  admin_cidrs   = ["203.0.113.7/32"]
  ports = {
    vote              = 8080
    result            = 8081
    worker            = 8082
    vote_management   = 8090
    result_management = 8091
    queue             = 6379
    database          = 5432
    grafana           = 3000
    prometheus        = 9090
    node_exporter     = 9100
    redis_exporter    = 9121
    postgres_exporter = 9187
    cadvisor          = 8089
  }
}

run "public_ingress_is_80_and_443_of_the_load_balancer_only" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.security_group_id == aws_security_group.this["load_balancer"].id}:${rule.from_port}" if rule.cidr_ipv4 == "0.0.0.0/0"]) == toset(["true:80", "true:443"])
    error_message = "Other ports than 80 and 443 of the load balancer are public."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.cidr_ipv6 == null])
    error_message = "There is an ingress rule for IPv6."
  }
}

run "without_a_load_balancer_the_ports_of_the_two_pages_are_public" {
  variables {
    load_balancer = false
    public_cidrs  = ["198.51.100.0/24"]
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.security_group_id == aws_security_group.this["front"].id}:${rule.from_port}" if rule.cidr_ipv4 == "198.51.100.0/24"]) == toset(["true:8080", "true:8081"])
    error_message = "Only the pages' ports must be open to public_cidrs."
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_ingress_rule.this : rule if rule.cidr_ipv4 == "0.0.0.0/0"]) == 0
    error_message = "Ports are open to 0.0.0.0/0 although public_cidrs names an office."
  }
}

run "monitoring_is_for_administrators_only" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.cidr_ipv4}:${rule.from_port}" if rule.security_group_id == aws_security_group.this["monitoring"].id && rule.cidr_ipv4 != null]) == toset(["203.0.113.7/32:3000", "203.0.113.7/32:9090"])
    error_message = "Grafana and Prometheus must be reachable from admin_cidrs only."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.referenced_security_group_id == aws_security_group.this["monitoring"].id if contains([8082, 8089, 8090, 8091, 9100], rule.from_port)])
    error_message = "The services' metrics, the node exporter and cAdvisor must be reachable from Prometheus only."
  }
}

run "without_admin_cidrs_monitoring_has_no_ingress" {
  variables {
    admin_cidrs = []
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_ingress_rule.this : rule if contains([3000, 9090], rule.from_port)]) == 0
    error_message = "A port of monitoring is open without admin_cidrs."
  }
}

run "data_is_reachable_from_services_and_exporters_only" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : rule.referenced_security_group_id if contains([5432, 6379], rule.from_port)]) == toset([aws_security_group.this["front"].id, aws_security_group.this["worker"].id, aws_security_group.this["monitoring"].id])
    error_message = "Only the services' groups and the exporters must reach queue and database."
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_egress_rule.this : rule if contains([aws_security_group.this["queue"].id, aws_security_group.this["database"].id], rule.security_group_id)]) == 0
    error_message = "Queue and database must have no egress."
  }
}

run "exporters_of_self_hosted_data_run_on_the_services_machine" {
  variables {
    self_hosted_data = true
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.security_group_id}:${rule.from_port}" if contains([9121, 9187], rule.from_port) && rule.referenced_security_group_id == aws_security_group.this["monitoring"].id]) == toset([for port in [9121, 9187] : "${aws_security_group.this["front"].id}:${port}"])
    error_message = "Prometheus must reach the exporters on the services' machine."
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_egress_rule.this : rule if rule.security_group_id == aws_security_group.this["monitoring"].id && contains([5432, 6379], rule.from_port)]) == 0
    error_message = "The monitoring machine has rules for a queue or a store that does not exist."
  }
}

run "exporters_on_the_monitoring_machine_reach_queue_and_store" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.this : "${rule.referenced_security_group_id}:${rule.from_port}" if rule.security_group_id == aws_security_group.this["monitoring"].id && contains([5432, 6379, 9121, 9187], rule.from_port)]) == toset(["${aws_security_group.this["queue"].id}:6379", "${aws_security_group.this["database"].id}:5432"])
    error_message = "The exporters on the monitoring machine do not reach queue and store, or an unused port is open."
  }
}

run "ssh_is_closed_and_every_rule_has_a_description" {
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.from_port != 22 && rule.from_port == rule.to_port && length(rule.description) > 3])
    error_message = "A rule opens SSH or a range, or has no description."
  }
}

run "a_cdn_replaces_public_ingress" {
  variables {
    public_prefix_list_id = "pl-1"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.cdn : rule.from_port if rule.prefix_list_id == "pl-1"] == [443] && length([for rule in aws_vpc_security_group_ingress_rule.this : rule if rule.cidr_ipv4 == "0.0.0.0/0"]) == 0
    error_message = "Behind a CDN, the load balancer must accept connections from there only."
  }
}

run "without_endpoints_machines_reach_the_internet_by_two_ports" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.this : "${rule.from_port} ${rule.cidr_ipv4}" if rule.cidr_ipv4 != null]) == toset(["443 0.0.0.0/0", "80 0.0.0.0/0"]) && !contains(keys(output.group_ids), "endpoints")
    error_message = "Machines have other egress than HTTPS and HTTP, or there are endpoints."
  }

  assert {
    condition     = toset([for name, rule in aws_vpc_security_group_egress_rule.this : name if rule.cidr_ipv4 != null]) == toset(flatten([for group in ["front", "worker", "monitoring"] : ["${group}: HTTPS out", "${group}: HTTP out"]]))
    error_message = "A rule with another name would replace an equal one, which AWS rejects."
  }
}

run "with_endpoints_egress_is_limited_to_outbound_cidrs" {
  variables {
    endpoints         = true
    s3_prefix_list_id = "pl-s3"
    outbound_cidrs    = ["198.51.100.0/24"]
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.this : "${rule.from_port} ${rule.cidr_ipv4}" if rule.cidr_ipv4 != null]) == toset(["443 198.51.100.0/24", "80 198.51.100.0/24"])
    error_message = "0.0.0.0/0 is open although networks are named."
  }

  assert {
    condition = alltrue([for group in ["front", "worker", "monitoring"] : length([for rule in aws_vpc_security_group_egress_rule.this : rule if rule.security_group_id == aws_security_group.this[group].id && rule.prefix_list_id == "pl-s3" && rule.from_port == 443]) == 1]) && alltrue([
      for group in ["front", "worker", "monitoring"] : length([for rule in aws_vpc_security_group_egress_rule.this : rule if rule.security_group_id == aws_security_group.this[group].id && rule.referenced_security_group_id == aws_security_group.this["endpoints"].id && rule.from_port == 443]) == 1
    ])
    error_message = "A machine does not reach S3 or AWS services."
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.from_port} ${rule.referenced_security_group_id}" if rule.security_group_id == aws_security_group.this["endpoints"].id]) == toset([for group in ["front", "worker", "monitoring"] : "443 ${aws_security_group.this[group].id}"])
    error_message = "The endpoints block a machine, or allow other sources."
  }
}

run "a_host_name_as_network_is_rejected" {
  command = plan

  variables {
    outbound_cidrs = ["deb.debian.org"]
  }

  expect_failures = [var.outbound_cidrs]
}

run "more_networks_than_rules_of_a_group_are_rejected" {
  command = plan

  variables {
    outbound_cidrs = [for number in range(26) : "198.51.${number}.0/24"]
  }

  expect_failures = [var.outbound_cidrs]
}

run "administration_from_everywhere_is_rejected" {
  command = plan

  variables {
    admin_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.admin_cidrs]
}

run "administration_from_both_halves_is_rejected" {
  command = plan

  variables {
    admin_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }

  expect_failures = [var.admin_cidrs]
}

run "an_address_without_a_prefix_is_rejected" {
  command = plan

  variables {
    admin_cidrs = ["203.0.113.7"]
  }

  expect_failures = [var.admin_cidrs]
}

run "an_invalid_public_network_is_rejected" {
  command = plan

  variables {
    public_cidrs = ["all"]
  }

  expect_failures = [var.public_cidrs]
}

run "no_public_network_is_rejected" {
  command = plan

  variables {
    public_cidrs = []
  }

  expect_failures = [var.public_cidrs]
}

run "an_invalid_port_is_rejected" {
  command = plan

  variables {
    ports = { vote = 80800, result = 8081, worker = 8082, vote_management = 8090, result_management = 8091, queue = 6379, database = 5432, grafana = 3000, prometheus = 9090, node_exporter = 9100, redis_exporter = 9121, postgres_exporter = 9187, cadvisor = 8089 }
  }

  expect_failures = [var.ports]
}

run "two_services_on_one_port_are_rejected" {
  command = plan

  variables {
    ports = { vote = 8081, result = 8081, worker = 8082, vote_management = 8090, result_management = 8091, queue = 6379, database = 5432, grafana = 3000, prometheus = 9090, node_exporter = 9100, redis_exporter = 9121, postgres_exporter = 9187, cadvisor = 8089 }
  }

  expect_failures = [var.ports]
}

run "an_imported_group_keeps_its_name_and_description" {
  command = plan

  variables {
    adopted_groups = { front = { name = "frontend-sg", description = "Frontend" } }
  }

  assert {
    condition     = aws_security_group.this["front"].name == "frontend-sg" && aws_security_group.this["front"].description == "Frontend"
    error_message = "An imported group would be replaced."
  }

  assert {
    condition     = aws_security_group.this["worker"].name_prefix == "voting-app-test-worker-" && aws_security_group.this["worker"].description == "Machines of the worker"
    error_message = "A created group must have a name and a description of its own."
  }
}

run "an_unknown_group_is_rejected" {
  command = plan

  variables {
    adopted_groups = { frontend = { name = "frontend-sg", description = "Frontend" } }
  }

  expect_failures = [var.adopted_groups]
}
