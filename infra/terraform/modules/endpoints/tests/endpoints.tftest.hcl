mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "ap-northeast-2" }
  }
}

variables {
  name              = "voting-app-test"
  vpc_id            = "vpc-1"
  subnet_ids        = ["subnet-a", "subnet-b"]
  security_group_id = "sg-endpoints"
  services          = ["ssm", "ecr.dkr"]
}

run "each_service_has_private_dns_in_every_subnet" {
  assert {
    condition     = toset([for endpoint in aws_vpc_endpoint.this : endpoint.service_name]) == toset(["com.amazonaws.ap-northeast-2.ssm", "com.amazonaws.ap-northeast-2.ecr.dkr"])
    error_message = "The services differ from the input."
  }

  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.this : endpoint.vpc_endpoint_type == "Interface" && endpoint.private_dns_enabled && toset(endpoint.subnet_ids) == toset(var.subnet_ids) && toset(endpoint.security_group_ids) == toset(["sg-endpoints"])])
    error_message = "Machines would continue to use the internet, or their requests would be blocked."
  }

  assert {
    condition     = output.subnet_ids == var.subnet_ids
    error_message = "The subnets differ from the input."
  }
}

run "without_services_there_are_no_endpoints" {
  variables {
    services          = []
    security_group_id = null
  }

  assert {
    condition     = length(aws_vpc_endpoint.this) == 0
    error_message = "There is an unnecessary endpoint."
  }
}

run "a_service_that_no_machine_uses_is_rejected" {
  command = plan

  variables {
    services = ["ssm", "sqs"]
  }

  expect_failures = [var.services]
}

run "endpoints_without_a_group_are_rejected" {
  command = plan

  variables {
    security_group_id = null
  }

  expect_failures = [var.security_group_id]
}
