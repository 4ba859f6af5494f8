# Validations of the modules together. A plan of all modules takes seconds, so each run violates several variables' rules at once.
# These do not refer to each other, because Terraform evaluates a validation only if the variables that it refers to are valid.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "a_single_machine_without_a_load_balancer_rejects_what_needs_more" {
  command = plan

  variables {
    nat_gateways    = "none"
    single_instance = true
    enable_alb      = false

    # Two releases need auto scaling groups.
    releases = { blue = { tag = "1.0.0" }, green = { tag = "1.1.0" } }
    # A managed store and queue need groups too.
    store = "rds"
    queue = "memorydb"
    # The domain and the WAF need the load balancer.
    domain     = { zone_id = "Z0123456789ABC", vote = "vote.example.org", result = "result.example.org" }
    enable_waf = true

    # Not an ARN.
    certificate_arn = "certificate.pem"
  }

  expect_failures = [var.releases, var.store, var.queue, var.domain, var.enable_waf, var.certificate_arn]
}

run "invalid_values_are_rejected" {
  command = plan

  variables {
    # Too long for the names of target groups.
    environment = "production"
    releases    = { red = { tag = "1.0.0" } }
    # Misspelled; it would otherwise be ignored silently.
    service_settings = { POLL_QUESTIONS = "Cats?" }
    # Machines have no key for it.
    repository = { url = "git@github.com:example/voting-app.git", ref = "main" }
    # No URLs.
    monitoring_urls = { prometheus = "prometheus.example.org" }
    pagerduty_url   = "events.eu.pagerduty.com"
    # Without HTTPS.
    enable_cdn          = true
    deletion_protection = true
  }

  expect_failures = [var.environment, var.releases, var.service_settings, var.repository, var.monitoring_urls, var.pagerduty_url, var.enable_cdn, var.allow_plain_http]
}

run "traffic_without_a_machine_and_https_without_a_certificate_are_rejected" {
  command = plan

  variables {
    releases = { blue = { tag = "1.0.0", size = { min = 0, desired = 0, max = 1 } } }
    https    = true
    # A line break would end the setting.
    service_settings = { POLL_QUESTION = "Cats or\ndogs?" }
  }

  expect_failures = [var.releases, var.https, var.service_settings]
}

run "groups_and_https_without_a_load_balancer_are_rejected" {
  command = plan

  variables {
    enable_alb      = false
    https           = true
    certificate_arn = "arn:aws:acm:ap-northeast-2:123456789012:certificate/1"
    # A secret.
    service_settings = { COOKIE_KEY = "0123456789" }
    # The machine would not be reachable at all.
    direct_access = false
  }

  expect_failures = [var.single_instance, var.https, var.service_settings, var.direct_access]
}

run "access_settings_without_effect_are_rejected" {
  command = plan

  variables {
    cdn_only = true
    # Machines have no public address.
    admin_cidrs = ["203.0.113.7/32"]
    # Machines would not reach AWS's services.
    outbound_cidrs      = ["198.51.100.0/24"]
    interface_endpoints = ["ssm", "ssmmessages", "logs", "monitoring", "ec2", "secretsmanager"]
  }

  expect_failures = [var.cdn_only, var.admin_cidrs, var.outbound_cidrs]
}

run "an_invalid_vpc_id_is_rejected" {
  command = plan

  variables {
    existing_network = {
      vpc_id = "network-1"
      cidr   = "10.77.0.0/16"
      zones  = { ap-northeast-2a = { public = "subnet-000000a1", private = "subnet-000000a2" }, ap-northeast-2c = { public = "subnet-000000c1", private = "subnet-000000c2" } }
    }
  }

  expect_failures = [var.existing_network]
}

run "an_existing_network_with_host_bits_is_rejected" {
  command = plan

  variables {
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.1/16"
      zones  = { ap-northeast-2a = { public = "subnet-000000a1", private = "subnet-000000a2" }, ap-northeast-2c = { public = "subnet-000000c1", private = "subnet-000000c2" } }
    }
  }

  expect_failures = [var.existing_network]
}

run "an_existing_network_in_one_zone_is_rejected" {
  command = plan

  variables {
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.0/16"
      zones  = { ap-northeast-2a = { public = "subnet-000000a1", private = "subnet-000000a2" } }
    }
  }

  expect_failures = [var.existing_network]
}

run "an_invalid_subnet_id_is_rejected" {
  command = plan

  variables {
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.0/16"
      zones  = { ap-northeast-2a = { public = "subnet-000000a1", private = "subnet-000000a2" }, ap-northeast-2c = { public = "subnet-000000c1", private = "the-other" } }
    }
  }

  expect_failures = [var.existing_network]
}

run "machines_without_an_existing_subnet_are_rejected" {
  command = plan

  variables {
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.0/16"
      zones  = { ap-northeast-2a = { public = "subnet-000000a1", data = "subnet-000000a3" }, ap-northeast-2c = { public = "subnet-000000c1", data = "subnet-000000c3" } }
    }
  }

  expect_failures = [var.existing_network]
}

run "data_in_public_subnets_is_rejected" {
  command = plan

  variables {
    nat_gateways = "none"
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.0/16"
      zones  = { ap-northeast-2a = { public = "subnet-000000a1" }, ap-northeast-2c = { public = "subnet-000000c1" } }
    }
  }

  expect_failures = [var.existing_network]
}

run "endpoints_in_an_existing_network_are_rejected" {
  command = plan

  variables {
    interface_endpoints = ["ssm"]
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.0/16"
      zones  = { ap-northeast-2a = { public = "subnet-000000a1", private = "subnet-000000a2" }, ap-northeast-2c = { public = "subnet-000000c1", private = "subnet-000000c2" } }
    }
  }

  expect_failures = [var.interface_endpoints]
}
