# An auto scaling group. A machine enters service when its services are ready (hook `ready`), is replaced when a service is not
# alive (files/watch), and drains before it is terminated (hook `drained`). A machine that does not get ready is abandoned; an
# instance refresh then fails, and the machines that serve remain. There is no automatic rollback: the group has the new template by
# then, and AWS would roll back to that.
#
# The load balancer's health checks do not replace machines: while the queue is unreachable no machine is ready, and new machines
# would not be ready either.

resource "aws_autoscaling_group" "this" {
  for_each = local.fleet

  name                = var.name
  vpc_zone_identifier = var.subnet_ids
  target_group_arns   = values(var.target_group_arns)
  min_size            = var.size.min
  desired_capacity    = var.size.desired
  max_size            = var.size.max

  health_check_type         = "EC2"
  health_check_grace_period = var.boot_seconds
  default_instance_warmup   = 60
  wait_for_capacity_timeout = "0"
  capacity_rebalance        = var.spot_percent > 0
  termination_policies      = ["OldestLaunchTemplate", "OldestInstance"]
  enabled_metrics           = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupMinSize", "GroupMaxSize", "GroupTotalInstances"]

  mixed_instances_policy {
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.this.id
        version            = aws_launch_template.this.latest_version
      }

      dynamic "override" {
        for_each = var.instance_types

        content {
          instance_type = override.value
        }
      }
    }

    instances_distribution {
      on_demand_base_capacity                  = 1
      on_demand_percentage_above_base_capacity = 100 - var.spot_percent
      on_demand_allocation_strategy            = "prioritized"
      spot_allocation_strategy                 = "price-capacity-optimized"
    }
  }

  initial_lifecycle_hook {
    name                 = "ready"
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    heartbeat_timeout    = var.boot_seconds
    default_result       = "ABANDON"
  }

  initial_lifecycle_hook {
    name                 = "drained"
    lifecycle_transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    heartbeat_timeout    = var.drain_seconds + 120
    default_result       = "CONTINUE"
  }

  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
      instance_warmup        = 60
    }
  }

  dynamic "tag" {
    for_each = local.tags

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  # A machine must have all its permissions when it starts.
  depends_on = [aws_iam_role_policy.this]

  lifecycle {
    # The scaling policies set the number of machines.
    ignore_changes = [desired_capacity]
  }
}

resource "aws_autoscaling_policy" "cpu" {
  for_each = local.fleet

  name                   = "cpu"
  autoscaling_group_name = aws_autoscaling_group.this[each.key].name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.cpu_target

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

resource "aws_autoscaling_policy" "requests" {
  for_each = var.requests_target == null ? toset([]) : local.fleet

  name                   = "requests"
  autoscaling_group_name = aws_autoscaling_group.this[each.key].name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.requests_target.per_minute

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = var.requests_target.label
    }
  }
}
