# The public entry point: HTTP and HTTPS for both pages, in one release or in two (blue and green) at a time.

locals {
  targets = merge([for release in keys(var.release_weights) : {
    for service, settings in var.services : "${service}-${release}" => merge(settings, { service = service, release = release })
  }]...)
}

resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  internal           = false
  subnets            = var.subnet_ids
  security_groups    = [var.security_group_id]

  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"
  enable_deletion_protection = var.deletion_protection
  # The live result sends an event at least every ten seconds. The services keep idle connections open longer than this.
  idle_timeout = 60

  access_logs {
    bucket  = aws_s3_bucket.logs.id
    enabled = true
  }

  depends_on = [aws_s3_bucket_policy.logs]
}

resource "aws_lb_target_group" "this" {
  for_each = local.targets

  name     = "${var.name}-${each.key}"
  vpc_id   = var.vpc_id
  port     = each.value.port
  protocol = "HTTP"

  # Longer than the drain, so that in-flight requests complete.
  deregistration_delay          = var.drain_seconds + 25
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    path                = each.value.health_path
    matcher             = "200"
    interval            = 10
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = { Service = each.value.service, Release = each.value.release }

  # A rule or a group that still refers to it must be changed first.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  # The default action redirects to HTTPS only when HTTPS serves.
  depends_on = [module.https]

  default_action {
    type = var.https ? "redirect" : "fixed-response"

    dynamic "redirect" {
      for_each = var.https ? [1] : []

      content {
        port        = "443"
        protocol    = "HTTPS"
        status_code = "HTTP_301"
      }
    }

    dynamic "fixed_response" {
      for_each = var.https ? [] : [1]

      content {
        content_type = "text/plain"
        message_body = "Not found"
        status_code  = "404"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  for_each = local.with_https

  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "Not found"
      status_code  = "404"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}
