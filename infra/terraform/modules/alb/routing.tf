# Routing of requests to the services.

locals {
  serves_https = var.https ? toset(["this"]) : toset([])

  by_host = {
    vote   = { priority = 10, service = "vote", host = try(var.hosts.vote, null) }
    result = { priority = 11, service = "result", host = try(var.hosts.result, null) }
  }

  # Both services under one name: they have no path in common but / and some files that are the same in both.
  by_path = {
    result-page  = { priority = 20, service = "result", paths = ["/result", "/result/*"], rewrite = [{ regex = "^/result/?(.*)$", replace = "/$1" }] }
    result       = { priority = 21, service = "result", paths = ["/events", "/embed", "/timeline", "/api/tally*", "/api/timeline"] }
    result-files = { priority = 22, service = "result", paths = ["/static/result.*", "/static/vote.*.svg"] }
    vote         = { priority = 30, service = "vote", paths = ["/", "/api/poll", "/api/votes", "/api/openapi.json", "/static/*"] }
  }

  # By HTTP, the load balancer's own name is served beside the pages' names, because links to it exist. No certificate covers it.
  by_http = merge({ for name, rule in local.by_host : "host-${name}" => rule if var.hosts != null }, { for name, rule in local.by_path : name => merge(rule, {
    https = { host = try(var.hosts[rule.service], "#{host}"), path = var.hosts != null && name == "result-page" ? "/" : "/#{path}" }
  }) })
  by_https = merge(
    { for name, rule in local.by_host : name => rule if var.hosts != null },
    { for name, rule in local.by_path : name => rule if var.hosts == null },
  )

  target_group_arns = { for key, group in aws_lb_target_group.this : key => group.arn }
}

module "https" {
  source   = "./rules"
  for_each = local.serves_https

  listener_arn      = aws_lb_listener.https[each.key].arn
  rules             = local.by_https
  leads_to_https    = false
  release_weights   = var.release_weights
  target_group_arns = local.target_group_arns
}

module "http" {
  source = "./rules"

  listener_arn      = aws_lb_listener.http.arn
  rules             = { for name, rule in local.by_http : name => merge({ https = { host = "#{host}", path = "/#{path}" } }, rule) }
  leads_to_https    = var.https
  release_weights   = var.release_weights
  target_group_arns = local.target_group_arns

  # HTTP redirects only when HTTPS serves, and HTTP serves again before HTTPS is removed.
  depends_on = [module.https]
}
