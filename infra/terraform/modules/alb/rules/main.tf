# The rules of one listener: which request goes to which service, or by which address to HTTPS. Lower priorities come first;
# what no rule wants is the listener's default.

# What operators measure is nobody else's business.
resource "aws_lb_listener_rule" "no_metrics" {
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
    for_each = var.leads_to_https ? [] : [each.value.service]

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

        # While two releases run, a browser stays with one: the files of its page have that release's names.
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
    for_each = var.leads_to_https ? [each.value.https] : []

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
    for_each = var.leads_to_https ? [] : each.value.rewrite

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

  # A listener that goes serves until another one has taken over.
  lifecycle {
    create_before_destroy = true
  }
}
