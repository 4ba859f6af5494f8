# Which request goes where. Lower priorities come first; what no rule wants is 404.

locals {
  listener_arn = var.https ? aws_lb_listener.https["this"].arn : aws_lb_listener.http.arn

  by_host = {
    vote   = { priority = 10, service = "vote", host = try(var.hosts.vote, null), paths = [], rewrite = [] }
    result = { priority = 11, service = "result", host = try(var.hosts.result, null), paths = [], rewrite = [] }
  }

  # Under one name: the two services have no path in common but / and some files that are the same in both.
  by_path = {
    result-page  = { priority = 20, service = "result", host = null, paths = ["/result", "/result/*"], rewrite = [{ regex = "^/result/?(.*)$", replace = "/$1" }] }
    result       = { priority = 21, service = "result", host = null, paths = ["/events", "/embed", "/timeline", "/api/tally*", "/api/timeline"], rewrite = [] }
    result-files = { priority = 22, service = "result", host = null, paths = ["/static/result.*", "/static/vote.*.svg"], rewrite = [] }
    vote         = { priority = 30, service = "vote", host = null, paths = ["/", "/api/poll", "/api/votes", "/api/openapi.json", "/static/*"], rewrite = [] }
  }

  rules = merge(
    { for name, rule in local.by_host : name => rule if var.hosts != null },
    { for name, rule in local.by_path : name => rule if var.hosts == null },
  )
}

# What operators measure is nobody else's business.
resource "aws_lb_listener_rule" "no_metrics" {
  listener_arn = local.listener_arn
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
}

resource "aws_lb_listener_rule" "this" {
  for_each = local.rules

  listener_arn = local.listener_arn
  priority     = each.value.priority

  action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = var.release_weights

        content {
          arn    = aws_lb_target_group.this["${each.value.service}-${target_group.key}"].arn
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
    for_each = each.value.rewrite

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
}
