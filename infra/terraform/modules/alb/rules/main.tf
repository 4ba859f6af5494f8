# Rules of one listener: each forwards requests to a service, or redirects them to HTTPS. Lower priorities are evaluated first;
# the listener's default action handles requests that match no rule.

# Metrics are for operators only.
resource "aws_lb_listener_rule" "block_metrics" {
  listener_arn = var.listener_arn
  priority     = 1

  action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "Not found"
      status_code  = "404"
    }
  }

  condition {
    path_pattern {
      values = ["/metrics", "/metrics/*"]
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener_rule" "this" {
  for_each = var.rules

  listener_arn = var.listener_arn
  priority     = each.value.priority

  dynamic "action" {
    for_each = var.redirect_to_https ? [] : [each.value.service]

    content {
      type = "forward"

      forward {
        dynamic "target_group" {
          for_each = var.release_weights

          content {
            arn    = var.target_group_arns["${action.value}-${target_group.key}"]
            weight = target_group.value
          }
        }

        # While two releases run, a browser stays with one, because the names of its page's files belong to that release.
        dynamic "stickiness" {
          for_each = length(var.release_weights) > 1 ? [1] : []

          content {
            enabled  = true
            duration = 600
          }
        }
      }
    }
  }

  dynamic "action" {
    for_each = var.redirect_to_https ? [each.value.https] : []

    content {
      type = "redirect"

      redirect {
        protocol    = "HTTPS"
        port        = "443"
        host        = action.value.host
        path        = action.value.path
        status_code = "HTTP_301"
      }
    }
  }

  dynamic "condition" {
    for_each = each.value.host == null ? [] : [each.value.host]

    content {
      host_header {
        values = [condition.value]
      }
    }
  }

  dynamic "condition" {
    for_each = length(each.value.paths) == 0 ? [] : [each.value.paths]

    content {
      path_pattern {
        values = condition.value
      }
    }
  }

  dynamic "transform" {
    for_each = var.redirect_to_https ? [] : each.value.rewrite

    content {
      type = "url-rewrite"

      url_rewrite_config {
        rewrite {
          regex   = transform.value.regex
          replace = transform.value.replace
        }
      }
    }
  }

  # A listener that is replaced serves until its successor does.
  lifecycle {
    create_before_destroy = true
  }
}
