# One machine. Its data disk and its addresses outlive it: a new machine, for a new release or a new image, takes them over.

# Made before the machine, so that the machine has its address from its first moment on: one that it is given later breaks what it
# downloads meanwhile.
resource "aws_network_interface" "this" {
  for_each = local.single

  description     = "The address of ${var.name}"
  subnet_id       = var.subnet_ids[0]
  security_groups = var.security_group_ids

  tags = local.tags
}

resource "aws_eip" "this" {
  for_each = var.public_address ? local.single : toset([])

  domain            = "vpc"
  network_interface = aws_network_interface.this[each.key].id

  tags = local.tags
}

resource "aws_instance" "this" {
  for_each = local.single

  primary_network_interface {
    network_interface_id = aws_network_interface.this[each.key].id
  }

  # The template gives them too. Not declared here, the next apply would take them away.
  tags = local.tags

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  depends_on = [aws_iam_role_policy.this, aws_eip.this]

  lifecycle {
    replace_triggered_by = [aws_launch_template.this.latest_version]
  }
}

resource "aws_ebs_volume" "this" {
  for_each = local.single

  availability_zone = var.zone
  type              = "gp3"
  size              = var.data_gb
  encrypted         = true
  snapshot_id       = var.data_snapshot
  # Whoever deletes the disk gets a last snapshot of it.
  final_snapshot = true

  tags = { Name = "${var.name}-data", Snapshots = var.name }

  lifecycle {
    ignore_changes = [snapshot_id]
  }
}

resource "aws_volume_attachment" "this" {
  for_each = local.single

  device_name                    = "/dev/sdf"
  instance_id                    = aws_instance.this[each.key].id
  volume_id                      = aws_ebs_volume.this[each.key].id
  stop_instance_before_detaching = true
}

resource "aws_lb_target_group_attachment" "this" {
  for_each = var.single ? var.target_group_arns : {}

  target_group_arn = each.value
  target_id        = aws_instance.this["this"].id
}

# Its start has not come to its end, its engine or a service is gone for good, or all of it is.
resource "aws_cloudwatch_metric_alarm" "alive" {
  for_each = local.single

  alarm_name          = "${var.name}-alive"
  alarm_description   = "The machine has not said for a quarter of an hour that its services are alive. Log group, stream …/boot."
  namespace           = "VotingApp"
  metric_name         = "Alive"
  dimensions          = { Machine = var.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
  ok_actions          = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
}

# The hardware under it fails: AWS starts it again elsewhere, with its disks and addresses.
resource "aws_cloudwatch_metric_alarm" "recovery" {
  for_each = local.single

  alarm_name          = "${var.name}-recovery"
  alarm_description   = "The machine's hardware failed; it is started again elsewhere."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed_System"
  dimensions          = { InstanceId = aws_instance.this[each.key].id }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  alarm_actions = concat(
    ["arn:${data.aws_partition.this.partition}:automate:${local.aws_region}:ec2:recover"],
    var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn],
  )
}

resource "aws_dlm_lifecycle_policy" "this" {
  for_each = local.single

  description        = "Daily snapshots of ${var.name}"
  execution_role_arn = aws_iam_role.snapshots[each.key].arn
  state              = "ENABLED"

  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { Snapshots = var.name }

    schedule {
      name      = "daily"
      copy_tags = true

      create_rule {
        interval      = 24
        interval_unit = "HOURS"
        times         = ["18:00"]
      }

      retain_rule {
        count = var.snapshot_days
      }
    }
  }
}

resource "aws_iam_role" "snapshots" {
  for_each = local.single

  name_prefix          = "${var.name}-snap-"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "dlm.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "snapshots" {
  for_each = local.single

  role       = aws_iam_role.snapshots[each.key].name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AWSDataLifecycleManagerServiceRole"
}
