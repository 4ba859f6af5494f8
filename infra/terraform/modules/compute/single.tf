# A single machine. Its data disk and its addresses are kept when it is replaced, for a new release or a new image.

# Created before the machine, so that it has its address from the start: an address that is assigned later interrupts its downloads.
resource "aws_network_interface" "this" {
  for_each = local.single_instance

  description     = "Address of ${var.name}"
  subnet_id       = var.subnet_ids[0]
  security_groups = var.security_group_ids

  tags = local.tags
}

resource "aws_eip" "this" {
  for_each = var.public_address ? local.single_instance : toset([])

  domain            = "vpc"
  network_interface = aws_network_interface.this[each.key].id

  tags = local.tags
}

resource "aws_instance" "this" {
  for_each = local.single_instance

  primary_network_interface {
    network_interface_id = aws_network_interface.this[each.key].id
  }

  # The launch template sets these too. Without them here, the next apply would remove them.
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
  for_each = local.single_instance

  availability_zone = var.zone
  type              = "gp3"
  size              = var.data_volume_size
  encrypted         = true
  snapshot_id       = var.data_snapshot
  # Deleting the disk creates a final snapshot.
  final_snapshot = true

  tags = { Name = "${var.name}-data", Snapshots = var.name }

  lifecycle {
    ignore_changes = [snapshot_id]
  }
}

resource "aws_volume_attachment" "this" {
  for_each = local.single_instance

  device_name                    = "/dev/sdf"
  instance_id                    = aws_instance.this[each.key].id
  volume_id                      = aws_ebs_volume.this[each.key].id
  stop_instance_before_detaching = true
}

resource "aws_lb_target_group_attachment" "this" {
  for_each = var.single_instance ? var.target_group_arns : {}

  target_group_arn = each.value
  target_id        = aws_instance.this["this"].id
}

# Fires if the boot does not complete, the Docker engine or a service does not recover, or the machine is down.
resource "aws_cloudwatch_metric_alarm" "alive" {
  for_each = local.single_instance

  alarm_name          = "${var.name}-alive"
  alarm_description   = "The machine has not reported for 15 minutes that its services are alive. Log group, stream …/boot."
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

# On a hardware failure, AWS restarts the machine on other hardware, with the same disks and addresses.
resource "aws_cloudwatch_metric_alarm" "recovery" {
  for_each = local.single_instance

  alarm_name          = "${var.name}-recovery"
  alarm_description   = "The machine's hardware failed. AWS is restarting it on other hardware."
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
  for_each = local.single_instance

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
        count = var.snapshot_retention_days
      }
    }
  }
}

resource "aws_iam_role" "snapshots" {
  for_each = local.single_instance

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
  for_each = local.single_instance

  role       = aws_iam_role.snapshots[each.key].name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AWSDataLifecycleManagerServiceRole"
}
