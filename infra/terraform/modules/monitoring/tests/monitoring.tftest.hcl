mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "ap-northeast-2" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  name        = "voting-app-test"
  environment = "test"
  emails      = ["oncall@example.org"]
  budget_usd  = 60
}

run "alarm_messages_are_encrypted_and_sent" {
  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == aws_kms_key.this.arn && aws_kms_key.this.enable_key_rotation
    error_message = "Alarm messages are not encrypted with the environment's key."
  }

  assert {
    condition     = aws_sns_topic_subscription.emails["oncall@example.org"].topic_arn == aws_sns_topic.alarms.arn && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : one(alarm.alarm_actions) == aws_sns_topic.alarms.arn])
    error_message = "Alarms have no receiver."
  }
}

run "a_backlog_is_always_monitored_and_missing_data_is_an_alarm" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["backlog"].threshold == 60 && aws_cloudwatch_metric_alarm.this["backlog"].treat_missing_data == "breaching" && length(aws_cloudwatch_metric_alarm.this) == 1
    error_message = "There is no alarm for ballots that wait."
  }
}

run "existing_resources_have_alarms" {
  variables {
    load_balancer = { name = "app/x/1", target_groups = { vote-blue = "targetgroup/vote/1", result-blue = "targetgroup/result/2" } }
    groups        = { front = 2, worker = 1, resting = 0 }
    machines      = { monitoring = "i-1" }
    store         = { identifier = "voting-app-test", allocated_storage = 20 }
    queue         = { kind = "memorydb", identifier = "voting-app-test" }
  }

  assert {
    condition = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset([
      "5xx", "5xx-without-target", "latency", "unhealthy-vote-blue", "unhealthy-result-blue", "machines-front", "machines-worker",
      "disk-monitoring", "memory-monitoring", "status-monitoring", "store-cpu", "store-disk", "store-memory", "queue-memory", "queue-cpu", "backlog",
    ])
    error_message = "An alarm is missing, or belongs to a resource that does not exist."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["latency"].extended_statistic == "p99" && aws_cloudwatch_metric_alarm.this["latency"].dimensions["TargetGroup"] == "targetgroup/vote/1"
    error_message = "The latency must be that of votes, because requests for live results stay open."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["machines-front"].comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.this["machines-front"].threshold == 2
    error_message = "Too few machines must cause an alarm."
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 17
    error_message = "Each alarm must have a graph."
  }
}

run "elasticache_has_alarms_in_its_own_namespace" {
  variables {
    queue = { kind = "elasticache", identifier = "voting-app-test" }
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["queue-memory"].namespace == "AWS/ElastiCache" && aws_cloudwatch_metric_alarm.this["queue-memory"].dimensions == tomap({ CacheClusterId = "voting-app-test-001" })
    error_message = "The alarm is for another service."
  }
}

run "the_budget_is_for_this_environment" {
  assert {
    condition     = aws_budgets_budget.this.limit_amount == "60" && one([for filter in aws_budgets_budget.this.cost_filter : one(filter.values)]) == "user:Environment$test"
    error_message = "The budget includes the costs of other environments."
  }

  assert {
    condition     = aws_budgets_budget.this.name == "voting-app-test-${data.aws_region.this.region}"
    error_message = "The same environment in another region would have a budget of the same name, which must be unique in the account."
  }
}

run "the_monitoring_machine_has_read_permissions_only" {
  variables {
    host = {
      subnet_ids         = ["subnet-a"]
      zone               = "ap-northeast-2a"
      public_address     = false
      security_group_ids = ["sg-monitoring"]
      instance_type      = "t4g.small"
      architecture       = "arm64"
      playbook           = { repository = "https://github.com/example/voting-app.git", ref = "v1.0.0", variables = {} }
      secrets            = { "grafana/admin-password" = { from = "/voting-app-test/secrets/grafana-admin-password", template = "{}" } }
      statements         = [{ actions = ["ssm:GetParameter"], resources = ["arn:password"] }]
    }
  }

  assert {
    condition     = output.host.instance_id != null && strcontains(module.host["this"].user_data, "grafana/admin-password /voting-app-test/secrets/grafana-admin-password {}")
    error_message = "There is no monitoring machine, or it lacks its password."
  }

  assert {
    condition     = strcontains(module.host["this"].user_data, "\"alert_topic_arn\":\"${aws_sns_topic.alarms.arn}\"")
    error_message = "Alerts have no receiver."
  }
}

run "an_invalid_email_address_is_rejected" {
  command = plan

  variables {
    emails = ["oncall"]
  }

  expect_failures = [var.emails]
}

run "a_budget_of_zero_is_rejected" {
  command = plan

  variables {
    budget_usd = 0
  }

  expect_failures = [var.budget_usd]
}

run "an_unknown_queue_is_rejected" {
  command = plan

  variables {
    queue = { kind = "sqs", identifier = "x" }
  }

  expect_failures = [var.queue]
}

run "an_unsupported_log_retention_is_rejected" {
  command = plan

  variables {
    log_retention_days = 2
  }

  expect_failures = [var.log_retention_days]
}
