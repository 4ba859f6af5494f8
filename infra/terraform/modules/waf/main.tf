# Blocks known attackers and floods before they reach the services.

locals {
  managed_rule_priorities = {
    AWSManagedRulesAmazonIpReputationList = 10
    AWSManagedRulesCommonRuleSet          = 20
    AWSManagedRulesKnownBadInputsRuleSet  = 30
  }

  visibility = { for name in concat(["flood"], keys(local.managed_rule_priorities)) : name => {
    CloudWatchMetricsEnabled = true
    MetricName               = "${var.name}-${name}"
    SampledRequestsEnabled   = true
  } }

  # Behind a CDN all requests come from its addresses; the client's address is in a header that the CDN writes.
  aggregation = merge(
    { AggregateKeyType = var.address_header == null ? "IP" : "FORWARDED_IP" },
    { for key, value in { ForwardedIPConfig = { HeaderName = var.address_header, FallbackBehavior = "MATCH" } } : key => value if var.address_header != null },
  )

  flood_rule = {
    Name             = "flood"
    Priority         = 1
    Action           = { Block = { CustomResponse = { ResponseCode = 429 } } }
    Statement        = { RateBasedStatement = merge({ Limit = var.requests_per_address }, local.aggregation) }
    VisibilityConfig = local.visibility.flood
  }

  managed_rules = [for name, priority in local.managed_rule_priorities : {
    Name             = name
    Priority         = priority
    OverrideAction   = { None = {} }
    Statement        = { ManagedRuleGroupStatement = { VendorName = "AWS", Name = name } }
    VisibilityConfig = local.visibility[name]
  }]
}

resource "aws_wafv2_web_acl" "this" {
  name      = var.name
  scope     = "REGIONAL"
  rule_json = jsonencode(concat([local.flood_rule], local.managed_rules))

  default_action {
    allow {}
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = var.load_balancer_arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}

# WAF requires this prefix of the name.
resource "aws_cloudwatch_log_group" "this" {
  name              = "aws-waf-logs-${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.this.arn]

  # Cookies identify voters; they are redacted from logs.
  redacted_fields {
    single_header {
      name = "cookie"
    }
  }

  logging_filter {
    default_behavior = "DROP"

    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"

      condition {
        action_condition {
          action = "BLOCK"
        }
      }
    }
  }
}
