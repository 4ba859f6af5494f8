mock_provider "aws" {}

variables {
  name              = "voting-app-test"
  load_balancer_arn = "arn:load-balancer"
}

run "the_load_balancer_is_protected" {
  assert {
    condition     = aws_wafv2_web_acl_association.this.resource_arn == "arn:load-balancer" && aws_wafv2_web_acl_association.this.web_acl_arn == aws_wafv2_web_acl.this.arn
    error_message = "The web ACL is not associated with the load balancer."
  }

  assert {
    condition     = toset([for rule in jsondecode(aws_wafv2_web_acl.this.rule_json) : rule.Name]) == toset(["flood", "AWSManagedRulesAmazonIpReputationList", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"])
    error_message = "A rule is missing."
  }

  assert {
    condition     = startswith(aws_cloudwatch_log_group.this.name, "aws-waf-logs-") && tolist(aws_wafv2_web_acl_logging_configuration.this.log_destination_configs) == tolist([aws_cloudwatch_log_group.this.arn])
    error_message = "Blocked requests are not logged."
  }
}

run "floods_are_counted_by_client_address" {
  assert {
    condition     = jsondecode(aws_wafv2_web_acl.this.rule_json)[0].Statement.RateBasedStatement == { Limit = 10000, AggregateKeyType = "IP" }
    error_message = "Requests would be counted by a header that every client can set."
  }
}

run "floods_behind_a_cdn_are_counted_by_client_address" {
  variables {
    address_header = "x-client-address"
  }

  assert {
    condition     = jsondecode(aws_wafv2_web_acl.this.rule_json)[0].Statement.RateBasedStatement.AggregateKeyType == "FORWARDED_IP" && jsondecode(aws_wafv2_web_acl.this.rule_json)[0].Statement.RateBasedStatement.ForwardedIPConfig.HeaderName == "x-client-address"
    error_message = "The CDN itself would be blocked as a flood."
  }
}

run "x_forwarded_for_as_address_header_is_rejected" {
  command = plan

  variables {
    address_header = "X-Forwarded-For"
  }

  expect_failures = [var.address_header]
}

run "a_limit_that_would_block_offices_is_rejected" {
  command = plan

  variables {
    requests_per_address = 10
  }

  expect_failures = [var.requests_per_address]
}
