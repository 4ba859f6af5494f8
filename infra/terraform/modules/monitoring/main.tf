# Monitoring of an environment: logs, alarms, a dashboard, a budget, and the machine of Prometheus and Grafana.

data "aws_caller_identity" "this" {}

data "aws_region" "this" {}

resource "aws_cloudwatch_log_group" "services" {
  name              = "/${var.name}/services"
  retention_in_days = var.log_retention_days
}

module "key_policy" {
  source = "../key-policy"

  services = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
}

# Messages are encrypted with a customer-managed key, because AWS's own key does not allow alarms and budgets to publish.
resource "aws_kms_key" "this" {
  description             = "Alarm messages of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy                  = module.key_policy.json
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.this.arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndBudgetsSpeak"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "emails" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# Budget names are unique in the account, which may have an environment of this name in several regions.
resource "aws_budgets_budget" "this" {
  name         = "${var.name}-${data.aws_region.this.region}"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.budget_usd)
  limit_unit   = "USD"

  # The tag Environment must be activated once as a cost allocation tag.
  cost_filter {
    name   = "TagKeyValue"
    values = ["${local.budget_tag}"]
  }

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type         = notification.key
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }

  depends_on = [aws_sns_topic_policy.alarms]
}

locals {
  budget_tag = join("$", ["user:Environment", var.environment])
}
