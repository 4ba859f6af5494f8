# Alarms on metrics of AWS. Prometheus alerts on the services' metrics, with one exception: an alarm on ballots that no worker
# processes must work even when the monitoring machine is down.

locals {
  load_balancer_alarms = merge([for load_balancer in var.load_balancer[*] : merge(
    {
      "5xx" = {
        description = "Many responses of the load balancer or the services are errors"
        namespace   = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum"
        dimensions  = { LoadBalancer = load_balancer.name }
        above       = 25, minutes = 3, treat_missing_data = "notBreaching"
      }
      "5xx-without-target" = {
        description = "The load balancer has no healthy target"
        namespace   = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count", statistic = "Sum"
        dimensions  = { LoadBalancer = load_balancer.name }
        above       = 25, minutes = 3, treat_missing_data = "notBreaching"
      }
      "latency" = {
        description = "The 99th percentile of the latency of votes is above 250 ms"
        namespace   = "AWS/ApplicationELB", metric = "TargetResponseTime", statistic = "p99"
        # Requests for the result's live events last as long as the page is open, so only those for votes are measured.
        dimensions = { LoadBalancer = load_balancer.name, TargetGroup = load_balancer.target_groups[local.vote_target_group] }
        above      = 0.25, minutes = 10, treat_missing_data = "notBreaching"
      }
    },
    { for key, group in load_balancer.target_groups : "unhealthy-${key}" => {
      description = "A target of ${key} is not ready"
      namespace   = "AWS/ApplicationELB", metric = "UnHealthyHostCount", statistic = "Maximum"
      dimensions  = { LoadBalancer = load_balancer.name, TargetGroup = group }
      above       = 0, minutes = 5, treat_missing_data = "notBreaching"
    } },
  )]...)

  vote_target_group = try([for key in sort(keys(var.load_balancer.target_groups)) : key if startswith(key, "vote")][0], "")

  group_alarms = { for group, min in var.groups : "machines-${group}" => {
    description = "${group} has fewer machines than its minimum"
    namespace   = "AWS/AutoScaling", metric = "GroupInServiceInstances", statistic = "Minimum"
    dimensions  = { AutoScalingGroupName = group }
    below       = min, minutes = 10, treat_missing_data = "breaching"
  } if min > 0 }

  machines = merge(var.machines, { for host in module.host : "monitoring" => host.instance_id })

  machine_alarms = merge([for machine, id in local.machines : {
    "disk-${machine}" = {
      description = "The disk of ${machine} is nearly full"
      namespace   = "VotingApp", metric = "disk_used_percent", statistic = "Maximum"
      dimensions  = { InstanceId = id }
      above       = 85, minutes = 15, treat_missing_data = "notBreaching"
    }
    "memory-${machine}" = {
      description = "The memory of ${machine} is nearly full"
      namespace   = "VotingApp", metric = "mem_used_percent", statistic = "Maximum"
      dimensions  = { InstanceId = id }
      above       = 90, minutes = 15, treat_missing_data = "notBreaching"
    }
    "status-${machine}" = {
      description = "${machine} fails AWS's status checks"
      namespace   = "AWS/EC2", metric = "StatusCheckFailed", statistic = "Maximum"
      dimensions  = { InstanceId = id }
      above       = 0, minutes = 5, treat_missing_data = "breaching"
    }
  }]...)

  store_alarms = merge([for store in var.store[*] : {
    "store-cpu" = {
      description = "The store's CPU utilization is high"
      namespace   = "AWS/RDS", metric = "CPUUtilization", statistic = "Average"
      dimensions  = { DBInstanceIdentifier = store.identifier }
      above       = 80, minutes = 15, treat_missing_data = "breaching"
    }
    "store-disk" = {
      description = "The store's disk is nearly full"
      namespace   = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum"
      dimensions  = { DBInstanceIdentifier = store.identifier }
      below       = floor(store.allocated_storage * 0.15 * 1024 * 1024 * 1024), minutes = 10, treat_missing_data = "breaching"
    }
    "store-memory" = {
      description = "The store has less than 128 MB of free memory"
      namespace   = "AWS/RDS", metric = "FreeableMemory", statistic = "Minimum"
      dimensions  = { DBInstanceIdentifier = store.identifier }
      below       = 134217728, minutes = 15, treat_missing_data = "breaching"
    }
  }]...)

  queue_dimensions = {
    memorydb    = { ClusterName = try(var.queue.identifier, ""), NodeName = "${try(var.queue.identifier, "")}-0001-001" }
    elasticache = { CacheClusterId = "${try(var.queue.identifier, "")}-001" }
  }

  queue_alarms = merge([for queue in var.queue[*] : {
    "queue-memory" = {
      description = "The queue is nearly full; a full queue rejects ballots"
      namespace   = queue.kind == "memorydb" ? "AWS/MemoryDB" : "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum"
      dimensions  = local.queue_dimensions[queue.kind]
      above       = 80, minutes = 5, treat_missing_data = "breaching"
    }
    "queue-cpu" = {
      description = "The queue's CPU utilization is high"
      namespace   = queue.kind == "memorydb" ? "AWS/MemoryDB" : "AWS/ElastiCache", metric = "EngineCPUUtilization", statistic = "Average"
      dimensions  = local.queue_dimensions[queue.kind]
      above       = 80, minutes = 10, treat_missing_data = "breaching"
    }
  }]...)

  backlog_alarm = {
    "backlog" = {
      description = "The oldest ballot has waited longer than a minute, or no worker reports its age"
      namespace   = "VotingApp", metric = "OldestBallotAge", statistic = "Minimum"
      dimensions  = { Environment = var.environment }
      above       = 60, minutes = 5, treat_missing_data = "breaching"
    }
  }

  alarms = { for name, alarm in merge(local.load_balancer_alarms, local.group_alarms, local.machine_alarms, local.store_alarms, local.queue_alarms, local.backlog_alarm) : name => {
    description        = alarm.description
    namespace          = alarm.namespace
    metric             = alarm.metric
    statistic          = alarm.statistic
    dimensions         = alarm.dimensions
    minutes            = alarm.minutes
    treat_missing_data = alarm.treat_missing_data
    comparison         = can(alarm.above) ? "GreaterThanThreshold" : "LessThanThreshold"
    threshold          = try(alarm.above, alarm.below)
  } }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.treat_missing_data
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
