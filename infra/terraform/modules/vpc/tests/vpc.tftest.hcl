mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"] }
  }
  mock_data "aws_region" {
    defaults = { region = "ap-northeast-2" }
  }
}

variables {
  name         = "voting-app-test"
  cidr         = "10.0.0.0/16"
  nat_gateways = "one"
}

run "every_zone_has_three_subnets" {
  command = plan

  assert {
    condition = (
      [for subnet in aws_subnet.public : subnet.cidr_block] == ["10.0.0.0/20", "10.0.16.0/20"] &&
      [for subnet in aws_subnet.private : subnet.cidr_block] == ["10.0.64.0/20", "10.0.80.0/20"] &&
      [for subnet in aws_subnet.data : subnet.cidr_block] == ["10.0.128.0/20", "10.0.144.0/20"]
    )
    error_message = "The subnets' addresses differ from the documented ones, or overlap."
  }

  assert {
    condition     = alltrue([for zone, subnet in aws_subnet.public : subnet.availability_zone == zone && subnet.map_public_ip_on_launch != true])
    error_message = "A subnet is in another zone than its key says, or assigns public addresses."
  }
}

run "one_gateway_serves_all_zones" {
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 2
    error_message = "There must be one gateway, and a route to it from each zone."
  }

  assert {
    condition     = length(distinct([for route in aws_route.nat : route.nat_gateway_id])) == 1
    error_message = "All private subnets must use the one gateway."
  }
}

run "a_gateway_per_zone_serves_its_own_zone" {
  variables {
    nat_gateways = "per-zone"
    zones        = 3
  }

  assert {
    condition     = alltrue([for zone, route in aws_route.nat : route.nat_gateway_id == aws_nat_gateway.this[zone].id]) && length(aws_nat_gateway.this) == 3
    error_message = "A zone's private subnet must use the gateway in its own zone."
  }
}

run "without_a_gateway_private_subnets_have_no_route_to_the_internet" {
  variables {
    nat_gateways = "none"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_eip.nat) == 0 && length(aws_route.nat) == 0
    error_message = "There is a gateway, or a route to one, although nat_gateways is none."
  }
}

run "data_subnets_have_no_route_to_the_internet" {
  assert {
    condition     = alltrue([for association in aws_route_table_association.data : association.route_table_id == aws_route_table.data.id])
    error_message = "A data subnet uses a table that has routes."
  }

  assert {
    condition     = !contains([for route in aws_route.nat : route.route_table_id], aws_route_table.data.id) && aws_route.internet.route_table_id == aws_route_table.public.id
    error_message = "The data subnets' table has a route."
  }
}

run "all_traffic_is_logged_with_an_expiry" {
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.log_destination == aws_cloudwatch_log_group.flow.arn && aws_cloudwatch_log_group.flow.retention_in_days == 30
    error_message = "Flow logs must include all traffic and expire after 30 days."
  }
}

run "a_region_with_too_few_zones_is_rejected" {
  command = plan

  variables {
    zones = 4
  }

  expect_failures = [data.aws_availability_zones.this]
}

run "one_zone_is_rejected" {
  command = plan

  variables {
    zones = 1
  }

  expect_failures = [var.zones]
}

run "an_invalid_network_is_rejected" {
  command = plan

  variables {
    cidr = "10.0.0.300/16"
  }

  expect_failures = [var.cidr]
}

run "host_bits_are_rejected" {
  command = plan

  variables {
    cidr = "10.0.0.1/16"
  }

  expect_failures = [var.cidr]
}

run "a_network_that_is_too_small_is_rejected" {
  command = plan

  variables {
    cidr = "10.0.0.0/24"
  }

  expect_failures = [var.cidr]
}

run "public_addresses_are_rejected" {
  command = plan

  variables {
    cidr = "8.8.0.0/16"
  }

  expect_failures = [var.cidr]
}

run "an_unknown_value_of_nat_gateways_is_rejected" {
  command = plan

  variables {
    nat_gateways = "two"
  }

  expect_failures = [var.nat_gateways]
}

run "a_name_with_capitals_is_rejected" {
  command = plan

  variables {
    name = "Voting"
  }

  expect_failures = [var.name]
}

run "an_unsupported_log_retention_is_rejected" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}

run "zones_without_memorydb_are_excluded" {
  command = plan

  assert {
    condition     = toset(data.aws_availability_zones.this.exclude_zone_ids) == toset(["apne1-az3", "apne2-az4", "cac1-az3", "use1-az3"])
    error_message = "A zone without MemoryDB may be chosen."
  }
}

run "zones_can_be_chosen_by_name" {
  command = plan

  variables {
    zone_names = ["ap-northeast-2c", "ap-northeast-2a"]
  }

  assert {
    condition     = toset(keys(aws_subnet.data)) == toset(["ap-northeast-2a", "ap-northeast-2c"]) && aws_subnet.public["ap-northeast-2c"].cidr_block == "10.0.16.0/20"
    error_message = "Subnets are in other zones than zone_names."
  }
}

run "a_zone_of_another_region_is_rejected" {
  command = plan

  variables {
    zone_names = ["ap-northeast-2a", "eu-central-1a"]
  }

  expect_failures = [data.aws_availability_zones.this]
}

run "one_zone_by_name_is_rejected" {
  command = plan

  variables {
    zone_names = ["ap-northeast-2a"]
  }

  expect_failures = [var.zone_names]
}

run "a_zone_name_as_excluded_zone_id_is_rejected" {
  command = plan

  variables {
    excluded_zone_ids = ["us-east-1e"]
  }

  expect_failures = [var.excluded_zone_ids]
}
