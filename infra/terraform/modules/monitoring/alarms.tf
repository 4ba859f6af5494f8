# Alarms on metrics of AWS. Prometheus alerts on the services' metrics, with one exception: an alarm on ballots that no worker
# processes must work even when the monitoring machine is down.

locals {
  load_balancer_alarms = merge([for load_balancer in var.load_balancer[*] : merge(
    {
      "5xx" = {
        why        = "Many responses of the load balancer or the services are errors"
        namespace  = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum"
        dimensions = { LoadBalancer = load_balancer.name }
        above      = 25, minutes = 3, missing = "notBreaching"
      }
      "5xx-without-target" = {
        why        = "The load balancer has no healthy target"
        namespace  = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count", statistic = "Sum"
        dimensions = { LoadBalancer = load_balancer.name }
        above      = 25, minutes = 3, missing = "notBreaching"
      }
      "latency" = {
        why       = "The 99th percentile of the latency of votes is above 250 ms"
        namespace = "AWS/ApplicationELB", metric = "TargetResponseTime", statistic = "p99"
        # Requests for the result's live events last as long as the page is open, so only those for votes are measured.
        dimensions = { LoadBalancer = load_balancer.name, TargetGroup = load_balancer.target_groups[local.measured] }
        above      = 0.25, minutes = 10, missing = "notBreaching"
      }
    },
    { for key, group in load_balancer.target_groups : "unhealthy-${key}" => {
      why        = "A target of ${key} is not ready"
      namespace  = "AWS/ApplicationELB", metric = "UnHealthyHostCount", statistic = "Maximum"
      dimensions = { LoadBalancer = load_balancer.name, TargetGroup = group }
      above      = 0, minutes = 5, missing = "notBreaching"
    } },
  )]...)

  measured = try([for key in sort(keys(var.load_balancer.target_groups)) : key if startswith(key, "vote")][0], "")

  group_alarms = { for group, min in var.groups : "machines-${group}" => {
    why        = "${group} has fewer machines than its minimum"
    namespace  = "AWS/AutoScaling", metric = "GroupInServiceInstances", statistic = "Minimum"
    dimensions = { AutoScalingGroupName = group }
    below      = min, minutes = 10, missing = "breaching"
  } if min > 0 }

  machines = merge(var.machines, { for host in module.host : "monitoring" => host.instance_id })

  machine_alarms = merge([for machine, id in local.machines : {
    "disk-${machine}" = {
      why        = "The disk of ${machine} is nearly full"
      namespace  = "VotingApp", metric = "disk_used_percent", statistic = "Maximum"
      dimensions = { InstanceId = id }
      above      = 85, minutes = 15, missing = "notBreaching"
    }
    "memory-${machine}" = {
      why        = "The memory of ${machine} is nearly full"
      namespace  = "VotingApp", metric = "mem_used_percent", statistic = "Maximum"
      dimensions = { InstanceId = id }
      above      = 90, minutes = 15, missing = "notBreaching"
    }
    "status-${machine}" = {
      why        = "${machine} fails AWS's status checks"
      namespace  = "AWS/EC2", metric = "StatusCheckFailed", statistic = "Maximum"
      dimensions = { InstanceId = id }
      above      = 0, minutes = 5, missing = "breaching"
    }
  }]...)

  store_alarms = merge([for store in var.store[*] : {
    "store-cpu" = {
      why        = "The store's CPU utilization is high"
      namespace  = "AWS/RDS", metric = "CPUUtilization", statistic = "Average"
      dimensions = { DBInstanceIdentifier = store.identifier }
      above      = 80, minutes = 15, missing = "breaching"
    }
    "store-disk" = {
      why        = "The store's disk is nearly full"
      namespace  = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum"
      dimensions = { DBInstanceIdentifier = store.identifier }
      below      = floor(store.gb * 0.15 * 1024 * 1024 * 1024), minutes = 10, missing = "breaching"
    }
    "store-memory" = {
      why        = "The store has less than 128 MB of free memory"
      namespace  = "AWS/RDS", metric = "FreeableMemory", statistic = "Minimum"
      dimensions = { DBInstanceIdentifier = store.identifier }
      below      = 134217728, minutes = 15, missing = "breaching"
    }
  }]...)

  queue_dimensions = {
    memorydb    = { ClusterName = try(var.queue.identifier, ""), NodeName = "${try(var.queue.identifier, "")}-0001-001" }
    elasticache = { CacheClusterId = "${try(var.queue.identifier, "")}-001" }
  }

  queue_alarms = merge([for queue in var.queue[*] : {
    "queue-memory" = {
      why        = "The queue is nearly full; a full queue rejects ballots"
      namespace  = queue.kind == "memorydb" ? "AWS/MemoryDB" : "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum"
      dimensions = local.queue_dimensions[queue.kind]
      above      = 80, minutes = 5, missing = "breaching"
    }
    "queue-cpu" = {
      why        = "The queue's CPU utilization is high"
      namespace  = queue.kind == "memorydb" ? "AWS/MemoryDB" : "AWS/ElastiCache", metric = "EngineCPUUtilization", statistic = "Average"
      dimensions = local.queue_dimensions[queue.kind]
      above      = 80, minutes = 10, missing = "breaching"
    }
  }]...)

  backlog_alarm = {
    "backlog" = {
      why        = "The oldest ballot has waited longer than a minute, or no worker reports its age"
      namespace  = "VotingApp", metric = "OldestBallotAge", statistic = "Minimum"
      dimensions = { Environment = var.environment }
      above      = 60, minutes = 5, missing = "breaching"
    }
  }

  alarms = { for name, alarm in merge(local.load_balancer_alarms, local.group_alarms, local.machine_alarms, local.store_alarms, local.queue_alarms, local.backlog_alarm) : name => {
    why        = alarm.why
    namespace  = alarm.namespace
    metric     = alarm.metric
    statistic  = alarm.statistic
    dimensions = alarm.dimensions
    minutes    = alarm.minutes
    missing    = alarm.missing
    comparison = can(alarm.above) ? "GreaterThanThreshold" : "LessThanThreshold"
    threshold  = try(alarm.above, alarm.below)
  } }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.why
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
