# Tests of the modules together.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "groups_run_their_services_and_only_the_load_balancer_is_public" {
  assert {
    condition     = toset(output.groups) == toset(["voting-app-test-front-blue", "voting-app-test-worker"])
    error_message = "There must be a group for the pages and one for the worker."
  }

  assert {
    condition     = alltrue([for role in ["front-blue", "worker"] : strcontains(output.user_data[role], "\nregistry:ghcr.io /voting-app-test/secrets/image-pull-secret {}")]) && alltrue([for role in ["front", "worker", "everything"] : contains(local.readable_secrets[role], "image-pull-secret")])
    error_message = "Machines cannot pull private images."
  }

  assert {
    condition     = strcontains(output.user_data["front-blue"], "export EXPORTERS='cadvisor'") && strcontains(output.user_data["front-blue"], "export SERVICES='vote result'") && strcontains(output.user_data["worker"], "export SERVICES='worker'") && strcontains(output.user_data["front-blue"], "TAG=1.0.0")
    error_message = "Machines run other services, or another release."
  }

  assert {
    condition     = strcontains(output.user_data["front-blue"], "vote/queue-url /voting-app-test/secrets/vote-queue-password rediss://voting-app-test-vote:{}@") && !strcontains(output.user_data["front-blue"], "worker-store-password") && !strcontains(output.user_data["front-blue"], "a-random-password")
    error_message = "The front's user data lacks the sources of its secrets, has those of others, or contains a secret."
  }

  assert {
    condition     = strcontains(aws_ssm_parameter.settings.value, "TRUSTED_PROXIES='10.9.0.0/16'") && strcontains(aws_ssm_parameter.settings.value, "PUBLIC_HTTPS='false'") && strcontains(aws_ssm_parameter.settings.value, "VOTE_URL='http://")
    error_message = "The services' settings lack the load balancer."
  }
}

run "a_single_machine_serves_the_pages_at_its_own_address" {
  variables {
    single_instance = true
    enable_alb      = false
    store           = "self-hosted"
    queue           = "self-hosted"
    nat_gateways    = "none"
  }

  assert {
    condition     = endswith(output.urls.vote, ":8080/") && endswith(output.urls.result, ":8081/") && length(output.groups) == 0 && keys(output.user_data) == ["everything"]
    error_message = "The pages must be at the machine's address, and there must be one machine."
  }

  assert {
    condition     = strcontains(output.user_data["everything"], "export EXPORTERS='cadvisor redis-exporter postgres-exporter'") && length(local.exporter_variables) == 0 && !contains(local.readable_secrets.monitoring, "monitor-store-password")
    error_message = "The exporters of queue and store must run beside these, and not on the monitoring machine."
  }

  assert {
    condition     = !strcontains(aws_ssm_parameter.settings.value, "TRUSTED_PROXIES") && keys(output.shell_commands) == ["everything"] && output.grafana == null
    error_message = "Another proxy would be trusted, or there is an unnecessary machine."
  }
}

run "enable_alb_adds_the_load_balancer" {
  variables {
    single_instance = true
    store           = "self-hosted"
    queue           = "self-hosted"
    nat_gateways    = "none"
  }

  assert {
    condition     = endswith(output.urls.result, "/result") && !endswith(output.urls.vote, ":8080/") && strcontains(aws_ssm_parameter.settings.value, "TRUSTED_PROXIES='10.9.0.0/16'")
    error_message = "The pages must be at the load balancer."
  }
}

run "with_endpoints_machines_need_no_internet" {
  variables {
    interface_endpoints = ["autoscaling", "ec2", "logs", "monitoring", "secretsmanager", "ssm", "ssmmessages"]
    outbound_cidrs      = ["198.51.100.0/24"]
  }

  assert {
    condition     = contains(keys(module.security.group_ids), "endpoints") && local.machine_subnets == tolist(module.vpc["this"].private_subnet_ids) && local.needed_endpoints == var.interface_endpoints
    error_message = "Endpoints have no group, are in other subnets than the machines, or the list of needed endpoints is wrong."
  }
}

run "images_in_ecr_need_no_secret" {
  variables {
    image_registry = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/voting-app"
  }

  assert {
    condition     = alltrue([for script in values(output.user_data) : !strcontains(script, "image-pull-secret")]) && !strcontains(jsonencode(local.readable_secrets), "image-pull-secret")
    error_message = "A machine reads a secret that it does not need."
  }
}

run "two_releases_share_the_traffic_and_the_worker_runs_the_main_one" {
  variables {
    releases = {
      blue  = { tag = "1.0.0", weight = 90 }
      green = { tag = "1.1.0", weight = 10 }
    }
  }

  assert {
    condition     = contains(output.groups, "voting-app-test-front-green") && strcontains(output.user_data["front-green"], "TAG=1.1.0") && strcontains(output.user_data["worker"], "TAG=1.0.0")
    error_message = "Each release must have a group, and the worker must run the release with the most traffic."
  }
}

run "the_worker_can_run_another_release" {
  variables {
    worker = { tag = "1.2.0" }
  }

  assert {
    condition     = strcontains(output.user_data["worker"], "TAG=1.2.0") && strcontains(output.user_data["front-blue"], "TAG=1.0.0")
    error_message = "The worker must run the release that is set for it."
  }
}

run "domain_certificate_waf_and_cdn_fit_together" {
  variables {
    https      = true
    domain     = { zone_id = "Z0123456789ABC", vote = "vote.example.org", result = "result.example.org" }
    enable_waf = true
    enable_cdn = true
    cdn_only   = true
  }

  assert {
    condition     = output.urls == { vote = "https://vote.example.org/", result = "https://result.example.org/" } && strcontains(aws_ssm_parameter.settings.value, "PUBLIC_HTTPS='true'") && strcontains(aws_ssm_parameter.settings.value, "TRUSTED_PROXIES='${var.cidr},198.51.100.0/24'")
    error_message = "The pages must be at their host names, by HTTPS."
  }
}

run "links_of_notifications_use_monitoring_urls" {
  command = plan

  variables {
    nat_gateways    = "none"
    repository      = { url = "https://github.com/example/voting-app.git", ref = "v1.0.0" }
    monitoring_urls = { prometheus = "https://prometheus.example.org", alertmanager = "https://alertmanager.example.org", grafana = "https://grafana.example.org/", runbooks = "https://wiki.example.org/runbooks" }
    pagerduty_url   = "https://events.eu.pagerduty.com/v2/enqueue"
  }

  assert {
    condition = local.notification_urls == {
      prometheus_url   = "https://prometheus.example.org"
      alertmanager_url = "https://alertmanager.example.org"
      grafana_url      = "https://grafana.example.org/"
      runbooks_url     = "https://wiki.example.org/runbooks"
      pagerduty_url    = "https://events.eu.pagerduty.com/v2/enqueue"
    }
    error_message = "The playbook's variables lack the URLs of monitoring or PagerDuty."
  }
}

run "the_monitoring_machine_runs_the_repository_s_playbook" {
  variables {
    nat_gateways = "none"
    repository   = { url = "https://github.com/example/voting-app.git", ref = "v1.0.0" }
    admin_cidrs  = ["203.0.113.7/32"]
  }

  assert {
    condition     = strcontains(output.user_data["monitoring"], "export REPOSITORY_REF='v1.0.0'") && strcontains(output.user_data["monitoring"], "\"environment_name\":\"test\"") && strcontains(output.user_data["monitoring"], "\"aws_region\":\"ap-northeast-2\"")
    error_message = "User data of the monitoring machine lacks the playbook, or the environment that it monitors."
  }

  assert {
    condition = alltrue(concat(
      [for name in ["page-url", "page-slack-url", "page-teams-url", "page-pagerduty-key", "ticket-url", "ticket-slack-url", "ticket-teams-url", "ticket-pagerduty-key", "watchdog-url"] : strcontains(output.user_data["monitoring"], "alertmanager/${name} /voting-app-test/secrets/alert-${name} {}")],
      [for name in local.alert_secrets : contains(local.readable_secrets.monitoring, name)],
    ))
    error_message = "Alertmanager lacks a receiver, or may not read its parameter."
  }

  assert {
    condition     = strcontains(output.user_data["monitoring"], "\"runbooks_url\":\"https://github.com/example/voting-app/blob/v1.0.0/infra/monitoring/runbooks\"") && !strcontains(output.user_data["monitoring"], "prometheus_url") && !strcontains(output.user_data["monitoring"], "pagerduty_url")
    error_message = "Links of notifications do not lead to the repository's runbooks, or there are variables that are not set."
  }

  assert {
    condition = alltrue([for text in [
      "exporters/queue-password /voting-app-test/secrets/monitor-queue-password {}", "exporters/store-password /voting-app-test/secrets/monitor-store-password {}",
      "\"redis_address\":\"rediss://", "\"redis_user\":\"voting-app-test-monitor\"", "sslmode=verify-full\\u0026sslrootcert=/run/secrets/postgres-exporter/authorities.pem", "export DATABASE_CA_URL='https://",
    ] : strcontains(output.user_data["monitoring"], text)])
    error_message = "The exporters on the monitoring machine lack the queue, the store, their users, or the certificate authorities."
  }

  assert {
    condition     = strcontains(output.user_data["monitoring"], "\"probe_urls\":${jsonencode(output.urls)}")
    error_message = "The monitoring machine does not probe the pages."
  }

  assert {
    condition     = toset([for role, secrets in local.readable_secrets : role if contains(secrets, "monitor-queue-password")]) == toset(["everything", "monitoring"]) && toset([for role, secrets in local.readable_secrets : role if contains(secrets, "monitor-store-password")]) == toset(["everything", "monitoring", "worker"])
    error_message = "A machine reads the password of an exporter that it does not need, or one that needs it does not."
  }

  assert {
    condition     = strcontains(output.user_data["worker"], "db/monitor-password /voting-app-test/secrets/monitor-store-password {}") && !strcontains(output.user_data["front-blue"], "/secrets/monitor-")
    error_message = "The worker's machine does not create the exporter's role, or the front has its password."
  }

  assert {
    condition     = output.grafana.url == "http://203.0.113.80:3000/" && strcontains(output.grafana.tunnel, "AWS-StartPortForwardingSession") && strcontains(output.grafana.password, "/voting-app-test/secrets/grafana-admin-password") && contains(keys(output.shell_commands), "monitoring")
    error_message = "The output lacks the access to Grafana."
  }
}

run "pages_that_the_monitoring_machine_cannot_reach_are_not_probed" {
  variables {
    nat_gateways = "none"
    repository   = { url = "https://github.com/example/voting-app.git", ref = "v1.0.0" }
    public_cidrs = ["203.0.113.0/24"]
  }

  assert {
    condition     = strcontains(output.user_data["monitoring"], "\"probe_urls\":{}")
    error_message = "The monitoring machine probes pages that are open to other addresses only."
  }
}

run "an_existing_network_is_used_instead_of_creating_one" {
  variables {
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.0/16"
      zones = {
        ap-northeast-2a = { public = "subnet-000000a1", private = "subnet-000000a2" }
        ap-northeast-2c = { public = "subnet-000000c1", private = "subnet-000000c2", data = "subnet-000000c3" }
      }
    }
  }

  assert {
    condition     = length(module.vpc) == 0 && local.network.vpc_id == "vpc-0123456789abcdef0" && tolist(local.network.zones) == tolist(["ap-northeast-2a", "ap-northeast-2c"])
    error_message = "A network is created in addition to the existing one."
  }

  assert {
    condition     = tolist(local.network.public_subnet_ids) == tolist(["subnet-000000a1", "subnet-000000c1"]) && tolist(local.machine_subnets) == tolist(["subnet-000000a2", "subnet-000000c2"]) && tolist(local.network.data_subnet_ids) == tolist(["subnet-000000a2", "subnet-000000c3"])
    error_message = "Load balancer, machines or data are in the wrong subnets."
  }

  assert {
    condition     = data.aws_vpc.existing["this"].cidr_block == "10.77.0.0/16" && alltrue([for key, subnet in data.aws_subnet.existing : subnet.vpc_id == "vpc-0123456789abcdef0" && strcontains(key, subnet.availability_zone)]) && length(data.aws_subnet.existing) == 5
    error_message = "A plan does not check that each subnet is in this network and in its zone."
  }

  assert {
    condition     = strcontains(aws_ssm_parameter.settings.value, "TRUSTED_PROXIES='10.77.0.0/16'")
    error_message = "The services trust proxies of another network."
  }
}

run "machines_without_a_gateway_are_in_the_public_subnets_of_an_existing_network" {
  variables {
    single_instance = true
    enable_alb      = false
    store           = "self-hosted"
    queue           = "self-hosted"
    nat_gateways    = "none"
    existing_network = {
      vpc_id = "vpc-0123456789abcdef0"
      cidr   = "10.77.0.0/16"
      zones  = { ap-northeast-2c = { public = "subnet-000000c1" }, ap-northeast-2a = { public = "subnet-000000a1" } }
    }
  }

  assert {
    condition     = tolist(local.machine_subnets) == tolist(["subnet-000000a1", "subnet-000000c1"]) && local.network.zones[0] == "ap-northeast-2a"
    error_message = "The machine and its disk are in different zones, or the machine is in a subnet without a route to the internet."
  }
}
