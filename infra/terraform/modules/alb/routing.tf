# Routing of requests to the services.

locals {
  with_https = var.https ? toset(["this"]) : toset([])

  host_rules = {
    vote   = { priority = 10, service = "vote", host = try(var.hosts.vote, null) }
    result = { priority = 11, service = "result", host = try(var.hosts.result, null) }
  }

  # Both services under one name: they have no path in common but / and some files that are the same in both.
  path_rules = {
    result-page  = { priority = 20, service = "result", paths = ["/result", "/result/*"], rewrite = [{ regex = "^/result/?(.*)$", replace = "/$1" }] }
    result       = { priority = 21, service = "result", paths = ["/events", "/embed", "/timeline", "/api/tally*", "/api/timeline"] }
    result-files = { priority = 22, service = "result", paths = ["/static/result.*", "/static/vote.*.svg"] }
    result-polls = { priority = 23, service = "result", paths = ["/polls", "/polls/*", "/api/polls", "/api/polls/*"] }
    vote         = { priority = 30, service = "vote", paths = ["/", "/api/poll", "/api/votes", "/api/openapi.json", "/static/*"] }
  }

  # By HTTP, the load balancer's own name is served beside the pages' names, because links to it exist. No certificate covers it.
  http_rules = merge({ for name, rule in local.host_rules : "host-${name}" => rule if var.hosts != null }, { for name, rule in local.path_rules : name => merge(rule, {
    https = { host = try(var.hosts[rule.service], "#{host}"), path = var.hosts != null && name == "result-page" ? "/" : "/#{path}" }
  }) })
  https_rules = merge(
    { for name, rule in local.host_rules : name => rule if var.hosts != null },
    { for name, rule in local.path_rules : name => rule if var.hosts == null },
  )

  target_group_arns = { for key, group in aws_lb_target_group.this : key => group.arn }
}

module "https" {
  source   = "./rules"
  for_each = local.with_https

  listener_arn      = aws_lb_listener.https[each.key].arn
  rules             = local.https_rules
  redirect_to_https = false
  release_weights   = var.release_weights
  target_group_arns = local.target_group_arns
}

module "http" {
  source = "./rules"

  listener_arn      = aws_lb_listener.http.arn
  rules             = { for name, rule in local.http_rules : name => merge({ https = { host = "#{host}", path = "/#{path}" } }, rule) }
  redirect_to_https = var.https
  release_weights   = var.release_weights
  target_group_arns = local.target_group_arns

  # HTTP redirects only when HTTPS serves, and HTTP serves again before HTTPS is removed.
  depends_on = [module.https]
}
