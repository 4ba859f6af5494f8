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

run "the_world_reaches_80_and_443_of_the_load_balancer_and_nothing_else" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.security_group_id == aws_security_group.this["load_balancer"].id}:${rule.from_port}" if rule.cidr_ipv4 == "0.0.0.0/0"]) == toset(["true:80", "true:443"])
    error_message = "The world reaches something else than 80 and 443 of the load balancer."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.cidr_ipv6 == null])
    error_message = "There is a door for IPv6 that nobody asked for."
  }
}

run "without_a_load_balancer_the_world_reaches_the_two_pages" {
  variables {
    load_balancer = false
    public_cidrs  = ["198.51.100.0/24"]
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.security_group_id == aws_security_group.this["front"].id}:${rule.from_port}" if rule.cidr_ipv4 == "198.51.100.0/24"]) == toset(["true:8080", "true:8081"])
    error_message = "The pages' ports should be open, to public_cidrs, and nothing else."
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_ingress_rule.this : rule if rule.cidr_ipv4 == "0.0.0.0/0"]) == 0
    error_message = "The world is let in although public_cidrs names an office."
  }
}

run "monitoring_is_for_administrators_only" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.cidr_ipv4}:${rule.from_port}" if rule.security_group_id == aws_security_group.this["monitoring"].id && rule.cidr_ipv4 != null]) == toset(["203.0.113.7/32:3000", "203.0.113.7/32:9090"])
    error_message = "Grafana and Prometheus should be reached from admin_cidrs and from nowhere else."
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.referenced_security_group_id == aws_security_group.this["monitoring"].id if contains([8082, 8089, 8090, 8091, 9100], rule.from_port)])
    error_message = "The services' metrics, the node exporter and cAdvisor should be reached by Prometheus only."
  }
}

run "without_administrators_monitoring_has_no_door" {
  variables {
    admin_cidrs = []
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_ingress_rule.this : rule if contains([3000, 9090], rule.from_port)]) == 0
    error_message = "Nobody administers, and yet a port of monitoring is open."
  }
}

run "data_is_reached_by_those_who_need_it" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : rule.referenced_security_group_id if contains([5432, 6379], rule.from_port)]) == toset([aws_security_group.this["front"].id, aws_security_group.this["worker"].id, aws_security_group.this["monitoring"].id])
    error_message = "Queue and database are for the services' groups and the exporters alone."
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_egress_rule.this : rule if contains([aws_security_group.this["queue"].id, aws_security_group.this["database"].id], rule.security_group_id)]) == 0
    error_message = "Queue and database call nobody."
  }
}

run "exporters_of_queue_and_store_are_where_these_are" {
  variables {
    self_hosted_data = true
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.security_group_id}:${rule.from_port}" if contains([9121, 9187], rule.from_port) && rule.referenced_security_group_id == aws_security_group.this["monitoring"].id]) == toset([for port in [9121, 9187] : "${aws_security_group.this["front"].id}:${port}"])
    error_message = "Prometheus should reach the exporters on the services' machine."
  }

  assert {
    condition     = length([for rule in aws_vpc_security_group_egress_rule.this : rule if rule.security_group_id == aws_security_group.this["monitoring"].id && contains([5432, 6379], rule.from_port)]) == 0
    error_message = "The monitoring machine reaches a queue or a store that is not there."
  }
}

run "exporters_beside_prometheus_reach_queue_and_store" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.this : "${rule.referenced_security_group_id}:${rule.from_port}" if rule.security_group_id == aws_security_group.this["monitoring"].id && contains([5432, 6379, 9121, 9187], rule.from_port)]) == toset(["${aws_security_group.this["queue"].id}:6379", "${aws_security_group.this["database"].id}:5432"])
    error_message = "The exporters on the monitoring machine do not reach queue and store, or a port is open that nothing listens on."
  }
}

run "nothing_is_open_for_ssh_and_every_rule_says_what_for" {
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.this : rule.from_port != 22 && rule.from_port == rule.to_port && length(rule.description) > 3])
    error_message = "A rule opens SSH, or a range, or does not say what for."
  }
}

run "a_delivery_network_takes_the_world_s_place" {
  variables {
    public_prefix_list_id = "pl-1"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.delivered : rule.from_port if rule.prefix_list_id == "pl-1"] == [443] && length([for rule in aws_vpc_security_group_ingress_rule.this : rule if rule.cidr_ipv4 == "0.0.0.0/0"]) == 0
    error_message = "Behind a delivery network the load balancer should listen to it alone."
  }
}

run "without_endpoints_machines_reach_the_world_by_two_ports" {
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.this : "${rule.from_port} ${rule.cidr_ipv4}" if rule.cidr_ipv4 != null]) == toset(["443 0.0.0.0/0", "80 0.0.0.0/0"]) && !contains(keys(output.group_ids), "endpoints")
    error_message = "Machines reach something else than HTTPS and HTTP outside, or there are endpoints."
  }

  assert {
    condition     = toset([for name, rule in aws_vpc_security_group_egress_rule.this : name if rule.cidr_ipv4 != null]) == toset(flatten([for group in ["front", "worker", "monitoring"] : ["${group}: HTTPS out", "${group}: HTTP out"]]))
    error_message = "A rule of another name replaces an equal one, which AWS refuses."
  }
}

run "with_endpoints_machines_reach_what_is_named_and_nothing_else" {
  variables {
    endpoints         = true
    s3_prefix_list_id = "pl-s3"
    outbound_cidrs    = ["198.51.100.0/24"]
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.this : "${rule.from_port} ${rule.cidr_ipv4}" if rule.cidr_ipv4 != null]) == toset(["443 198.51.100.0/24", "80 198.51.100.0/24"])
    error_message = "The world is open although networks are named."
  }

  assert {
    condition = alltrue([for group in ["front", "worker", "monitoring"] : length([for rule in aws_vpc_security_group_egress_rule.this : rule if rule.security_group_id == aws_security_group.this[group].id && rule.prefix_list_id == "pl-s3" && rule.from_port == 443]) == 1]) && alltrue([
      for group in ["front", "worker", "monitoring"] : length([for rule in aws_vpc_security_group_egress_rule.this : rule if rule.security_group_id == aws_security_group.this[group].id && rule.referenced_security_group_id == aws_security_group.this["endpoints"].id && rule.from_port == 443]) == 1
    ])
    error_message = "A machine does not reach S3 or AWS's services."
  }

  assert {
    condition     = toset([for rule in aws_vpc_security_group_ingress_rule.this : "${rule.from_port} ${rule.referenced_security_group_id}" if rule.security_group_id == aws_security_group.this["endpoints"].id]) == toset([for group in ["front", "worker", "monitoring"] : "443 ${aws_security_group.this[group].id}"])
    error_message = "The endpoints keep a machine out, or let somebody else in."
  }
}

run "a_name_in_place_of_a_network_is_refused" {
  command = plan

  variables {
    outbound_cidrs = ["deb.debian.org"]
  }

  expect_failures = [var.outbound_cidrs]
}

run "more_networks_than_a_group_has_room_for_are_refused" {
  command = plan

  variables {
    outbound_cidrs = [for number in range(26) : "198.51.${number}.0/24"]
  }

  expect_failures = [var.outbound_cidrs]
}

run "the_world_is_no_administrator" {
  command = plan

  variables {
    admin_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.admin_cidrs]
}

run "nor_are_its_halves" {
  command = plan

  variables {
    admin_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }

  expect_failures = [var.admin_cidrs]
}

run "an_address_without_a_prefix_is_refused" {
  command = plan

  variables {
    admin_cidrs = ["203.0.113.7"]
  }

  expect_failures = [var.admin_cidrs]
}

run "a_wrong_public_network_is_refused" {
  command = plan

  variables {
    public_cidrs = ["everybody"]
  }

  expect_failures = [var.public_cidrs]
}

run "nobody_at_all_is_refused" {
  command = plan

  variables {
    public_cidrs = []
  }

  expect_failures = [var.public_cidrs]
}

run "a_port_that_cannot_be_is_refused" {
  command = plan

  variables {
    ports = { vote = 80800, result = 8081, worker = 8082, vote_management = 8090, result_management = 8091, queue = 6379, database = 5432, grafana = 3000, prometheus = 9090, node_exporter = 9100, redis_exporter = 9121, postgres_exporter = 9187, cadvisor = 8089 }
  }

  expect_failures = [var.ports]
}

run "two_services_on_one_port_are_refused" {
  command = plan

  variables {
    ports = { vote = 8081, result = 8081, worker = 8082, vote_management = 8090, result_management = 8091, queue = 6379, database = 5432, grafana = 3000, prometheus = 9090, node_exporter = 9100, redis_exporter = 9121, postgres_exporter = 9187, cadvisor = 8089 }
  }

  expect_failures = [var.ports]
}

run "a_group_that_was_there_keeps_its_name_and_description" {
  command = plan

  variables {
    adopted_groups = { front = { name = "frontend-sg", description = "Frontend" } }
  }

  assert {
    condition     = aws_security_group.this["front"].name == "frontend-sg" && aws_security_group.this["front"].description == "Frontend"
    error_message = "A group that is imported would be made anew."
  }

  assert {
    condition     = aws_security_group.this["worker"].name_prefix == "voting-app-test-worker-" && aws_security_group.this["worker"].description == "Machines of the worker"
    error_message = "A group that is made here has no name of its own."
  }
}

run "an_unknown_group_is_refused" {
  command = plan

  variables {
    adopted_groups = { frontend = { name = "frontend-sg", description = "Frontend" } }
  }

  expect_failures = [var.adopted_groups]
}
