# The launch template of the machines. The number of machines is in fleet.tf or single.tf.

data "aws_region" "this" {}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  fleet           = var.single_instance ? toset([]) : toset(["this"])
  single_instance = var.single_instance ? toset(["this"]) : toset([])
  aws_region      = data.aws_region.this.region

  tags = {
    Name        = var.name
    Project     = "voting-app"
    Environment = var.environment
    Role        = var.role
  }
}

resource "aws_launch_template" "this" {
  name                   = var.name
  image_id               = data.aws_ami.this.id
  instance_type          = var.instance_types[0]
  user_data              = base64gzip(local.user_data)
  update_default_version = true
  ebs_optimized          = true

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  # A single machine has a persistent network interface (single.tf).
  dynamic "network_interfaces" {
    for_each = local.fleet

    content {
      security_groups             = var.security_group_ids
      associate_public_ip_address = var.public_address
      delete_on_termination       = true
    }
  }

  metadata_options {
    http_endpoint          = "enabled"
    http_tokens            = "required"
    instance_metadata_tags = "enabled"
    # Containers are one hop too far to reach the metadata service. Prometheus and Alertmanager need the role and use the host network
    # (infra/monitoring/prometheus/ec2.yml).
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  maintenance_options {
    auto_recovery = "default"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.root_volume_size
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    # A single machine's network interface exists already.
    for_each = toset(concat(["instance", "volume"], var.single_instance ? [] : ["network-interface"]))

    content {
      resource_type = tag_specifications.value
      tags          = local.tags
    }
  }
}
