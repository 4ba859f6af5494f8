mock_provider "aws" {}

variables {
  name              = "voting-app-test"
  load_balancer_arn = "arn:load-balancer"
}

run "the_load_balancer_is_protected" {
  assert {
    condition     = aws_wafv2_web_acl_association.this.resource_arn == "arn:load-balancer" && aws_wafv2_web_acl_association.this.web_acl_arn == aws_wafv2_web_acl.this.arn
    error_message = "The rules protect nothing."
  }

  assert {
    condition     = toset([for rule in jsondecode(aws_wafv2_web_acl.this.rule_json) : rule.Name]) == toset(["flood", "AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"])
    error_message = "A rule is missing."
  }

  assert {
    condition     = startswith(aws_cloudwatch_log_group.this.name, "aws-waf-logs-") && tolist(aws_wafv2_web_acl_logging_configuration.this.log_destination_configs) == tolist([aws_cloudwatch_log_group.this.arn])
    error_message = "Who is turned away is not logged."
  }
}

run "floods_are_counted_by_the_visitor_s_address" {
  assert {
    condition     = jsondecode(aws_wafv2_web_acl.this.rule_json)[0].Statement.RateBasedStatement == { Limit = 10000, AggregateKeyType = "IP" }
    error_message = "A header that anybody can write would decide whose requests are counted."
  }
}

run "behind_a_delivery_network_too" {
  variables {
    address_header = "x-visitor-address"
  }

  assert {
    condition     = jsondecode(aws_wafv2_web_acl.this.rule_json)[0].Statement.RateBasedStatement.AggregateKeyType == "FORWARDED_IP" && jsondecode(aws_wafv2_web_acl.this.rule_json)[0].Statement.RateBasedStatement.ForwardedIPConfig.HeaderName == "x-visitor-address"
    error_message = "The delivery network itself would be shut out as a flood."
  }
}

run "a_header_whose_first_address_the_visitor_writes_is_refused" {
  command = plan

  variables {
    address_header = "X-Forwarded-For"
  }

  expect_failures = [var.address_header]
}

run "a_limit_that_shuts_offices_out_is_refused" {
  command = plan

  variables {
    requests_per_address = 10
  }

  expect_failures = [var.requests_per_address]
}
