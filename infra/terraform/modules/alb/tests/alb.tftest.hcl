mock_provider "aws" {}

variables {
  name              = "voting-app-test"
  vpc_id            = "vpc-1"
  subnet_ids        = ["subnet-a", "subnet-b"]
  security_group_id = "sg-1"
  drain_seconds     = 35
  services = {
    vote   = { port = 8080, health_path = "/ready" }
    result = { port = 8081, health_path = "/ready" }
  }
}

run "targets_are_checked_for_readiness" {
  assert {
    condition     = length(aws_lb_target_group.this) == 2 && aws_lb_target_group.this["vote-blue"].port == 8080 && aws_lb_target_group.this["result-blue"].port == 8081
    error_message = "There must be a target group for each page, with its own port."
  }

  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : group.health_check[0].path == "/ready" && group.health_check[0].interval == 10 && group.health_check[0].timeout == 3 && group.health_check[0].healthy_threshold == 2 && group.health_check[0].unhealthy_threshold == 3])
    error_message = "Health checks do not request /ready every 10 s."
  }

  assert {
    condition     = alltrue([for group in aws_lb_target_group.this : tonumber(group.deregistration_delay) > 35])
    error_message = "A target is deregistered before it has drained."
  }
}

run "the_load_balancer_drops_invalid_headers_and_logs" {
  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection && aws_lb.this.access_logs[0].enabled && aws_lb.this.access_logs[0].bucket == aws_s3_bucket.logs.id
    error_message = "The load balancer forwards invalid headers, has no deletion protection, or does not log."
  }

  assert {
    condition     = alltrue([aws_s3_bucket_public_access_block.logs.block_public_acls, aws_s3_bucket_public_access_block.logs.block_public_policy, aws_s3_bucket_public_access_block.logs.ignore_public_acls, aws_s3_bucket_public_access_block.logs.restrict_public_buckets])
    error_message = "The logs could be made public."
  }
}

run "metrics_are_blocked_by_the_first_rule" {
  variables {
    https           = true
    certificate_arn = "arn:aws:acm:ap-northeast-2:123456789012:certificate/1"
  }

  assert {
    condition     = alltrue([for rule in [module.http.block_metrics, module.https["this"].block_metrics] : rule.priority == 1 && rule.action[0].fixed_response[0].status_code == "404" && contains(flatten([for condition in rule.condition : [for pattern in condition.path_pattern : tolist(pattern.values)]]), "/metrics")])
    error_message = "/metrics is not blocked."
  }

  assert {
    condition     = alltrue([for rules in [module.http.rules, module.https["this"].rules] : alltrue([for rule in rules : rule.priority > 1]) && length(distinct([for rule in rules : rule.priority])) == length(rules)])
    error_message = "A rule has a higher priority than the one that blocks /metrics, or two have the same."
  }
}

run "without_a_certificate_http_serves_and_unknown_paths_are_404" {
  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "fixed-response" && length(aws_lb_listener.https) == 0 && alltrue([for rule in module.http.rules : rule.listener_arn == aws_lb_listener.http.arn && rule.action[0].type == "forward"])
    error_message = "HTTP must serve, and there must be no HTTPS."
  }

  assert {
    condition     = one([for change in module.http.rules["result-page"].transform : change.url_rewrite_config[0].rewrite[0].replace]) == "/$1" && output.urls.result == "http://${aws_lb.this.dns_name}/result"
    error_message = "The result page must be at /result."
  }

  assert {
    condition     = alltrue([for rule in module.http.rules : length(flatten([for condition in rule.condition : [for pattern in condition.path_pattern : tolist(pattern.values)]])) <= 5])
    error_message = "AWS allows five values in a rule."
  }
}

run "with_a_certificate_http_redirects_to_https" {
  variables {
    https           = true
    certificate_arn = "arn:aws:acm:ap-northeast-2:123456789012:certificate/1"
    hosts           = { vote = "vote.example.org", result = "result.example.org" }
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].redirect[0].status_code == "HTTP_301" && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS"
    error_message = "HTTP does not redirect to HTTPS."
  }

  assert {
    condition     = startswith(aws_lb_listener.https["this"].ssl_policy, "ELBSecurityPolicy-TLS13-") && aws_lb_listener.https["this"].certificate_arn == "arn:aws:acm:ap-northeast-2:123456789012:certificate/1"
    error_message = "HTTPS uses another certificate, or allows other versions than TLS 1.2 and 1.3."
  }

  assert {
    condition     = alltrue([for rule in module.https["this"].rules : rule.listener_arn == aws_lb_listener.https["this"].arn && rule.action[0].type == "forward"])
    error_message = "HTTPS does not serve."
  }

  assert {
    condition = { for name, rule in module.http.rules : name => join("", [for to in rule.action[0].redirect : "${to.protocol} ${to.host}${to.path}"]) } == {
      host-vote    = "HTTPS #{host}/#{path}"
      host-result  = "HTTPS #{host}/#{path}"
      vote         = "HTTPS vote.example.org/#{path}"
      result       = "HTTPS result.example.org/#{path}"
      result-files = "HTTPS result.example.org/#{path}"
      result-polls = "HTTPS result.example.org/#{path}"
      result-page  = "HTTPS result.example.org/"
    }
    error_message = "An old link is broken, or redirects to a name that the certificate does not cover."
  }

  assert {
    condition     = { for name, rule in module.https["this"].rules : name => one(flatten([for condition in rule.condition : [for header in condition.host_header : tolist(header.values)]])) } == { vote = "vote.example.org", result = "result.example.org" } && output.urls.result == "https://result.example.org/"
    error_message = "Each page must be at its own host."
  }
}

run "two_releases_share_the_traffic_by_weight" {
  variables {
    release_weights = { blue = 90, green = 10 }
  }

  assert {
    condition     = toset(keys(aws_lb_target_group.this)) == toset(["vote-blue", "vote-green", "result-blue", "result-green"])
    error_message = "Each release must have its own target groups."
  }

  assert {
    condition = alltrue([for rule in module.http.rules : { for target in rule.action[0].forward[0].target_group : target.arn => target.weight } == {
      (aws_lb_target_group.this["${rule.priority == 30 ? "vote" : "result"}-blue"].arn)  = 90
      (aws_lb_target_group.this["${rule.priority == 30 ? "vote" : "result"}-green"].arn) = 10
    }])
    error_message = "The weights differ from release_weights, or belong to the other service."
  }

  assert {
    condition     = alltrue([for rule in module.http.rules : rule.action[0].forward[0].stickiness[0].enabled])
    error_message = "A browser may get a page from one release and its files from the other."
  }
}

run "https_without_a_certificate_is_rejected" {
  command = plan

  variables {
    https = true
  }

  expect_failures = [var.certificate_arn]
}

run "a_release_of_another_color_is_rejected" {
  command = plan

  variables {
    release_weights = { red = 100 }
  }

  expect_failures = [var.release_weights]
}

run "weights_of_zero_only_are_rejected" {
  command = plan

  variables {
    release_weights = { blue = 0, green = 0 }
  }

  expect_failures = [var.release_weights]
}

run "a_drain_shorter_than_the_health_check_is_rejected" {
  command = plan

  variables {
    drain_seconds = 10
  }

  expect_failures = [var.drain_seconds]
}

run "one_zone_is_rejected" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "one_host_for_both_is_rejected" {
  command = plan

  variables {
    hosts = { vote = "example.org", result = "example.org" }
  }

  expect_failures = [var.hosts]
}

run "a_relative_health_path_is_rejected" {
  command = plan

  variables {
    services = {
      vote   = { port = 8080, health_path = "ready" }
      result = { port = 8081, health_path = "/ready" }
    }
  }

  expect_failures = [var.services]
}

run "a_long_name_is_rejected" {
  command = plan

  variables {
    name = "voting-app-demonstration"
  }

  expect_failures = [var.name]
}

run "log_retention_of_zero_days_is_rejected" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}
