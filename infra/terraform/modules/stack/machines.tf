# Roles of the machines: one machine with everything, or auto scaling groups for the two pages (one for each release) and the worker.

locals {
  fronts     = var.single_instance ? {} : var.releases
  workers    = var.single_instance ? {} : { this = var.worker }
  everything = var.single_instance ? { this = var.releases[local.main_release] } : {}

  # Names of the target groups: the services of each release.
  target_group_keys = flatten([for release in keys(var.releases) : ["vote-${release}", "result-${release}"]])

  queue_url = { for service in ["vote", "worker"] : service => "rediss://${try(module.data.queue.user_prefix, "")}${service}:{}@${try(module.data.queue.address, "")}:${local.ports.queue}" }
  store_url = { for service in ["worker", "result"] : service => "postgres://${service}:{}@${try(module.data.store.address, "")}:${local.ports.database}/${try(module.data.store.database, "")}?sslmode=verify-full" }

  secret_sources = { for key, name in module.secrets.names : key => { from = name, template = "{}" } }

  front_secrets = {
    "vote/queue-url"           = { from = module.secrets.names["vote-queue-password"], template = local.queue_url.vote }
    "vote/cookie-key"          = local.secret_sources["cookie-key"]
    "vote/cookie-key-previous" = { from = "${module.secrets.names["cookie-key"]}:previous", template = "{}" }
    "result/database-url"      = { from = module.secrets.names["result-store-password"], template = local.store_url.result }
  }

  # Variables of the monitoring machine's playbook for the exporters of queue and store, if these are AWS services.
  exporter_variables = { for name, value in {
    redis_address             = "rediss://${try(module.data.queue.address, "")}:${local.ports.queue}"
    redis_user                = "${try(module.data.queue.user_prefix, "")}monitor"
    redis_password_file       = "/opt/voting-app/secrets/exporters/queue-password"
    postgres_address          = "${try(module.data.store.address, "")}:${local.ports.database}/${try(module.data.store.database, "")}?sslmode=verify-full&sslrootcert=/run/secrets/postgres-exporter/authorities.pem"
    postgres_password_file    = "/opt/voting-app/secrets/exporters/store-password"
    postgres_authorities_file = "/opt/voting-app/secrets/exporters/authorities.pem"
  } : name => value if !var.single_instance }

  # Pages that the monitoring machine probes, if they are open to all addresses. None with a single machine: its load balancer is optional,
  # and a change of the addresses would replace the monitoring machine.
  probe_urls = var.single_instance ? {} : { for page, url in try(module.alb["this"].urls, {}) : page => url if contains(var.outbound_cidrs, "0.0.0.0/0") && (var.cdn_only || contains(var.public_cidrs, "0.0.0.0/0")) }

  # Targets of links in alert notifications. The repository's host, such as GitHub, displays its runbooks.
  notification_urls = { for name, value in {
    prometheus_url   = var.monitoring_urls.prometheus
    alertmanager_url = var.monitoring_urls.alertmanager
    grafana_url      = var.monitoring_urls.grafana
    runbooks_url     = coalesce(var.monitoring_urls.runbooks, "${trimsuffix(try(var.repository.url, ""), ".git")}/blob/${try(var.repository.ref, "")}/infra/monitoring/runbooks")
    pagerduty_url    = var.pagerduty_url
  } : name => value if value != null }

  # The worker creates the tables and the other services' database roles; nothing outside the network reaches its machines.
  worker_secrets = {
    "worker/queue-url"    = { from = module.secrets.names["worker-queue-password"], template = local.queue_url.worker }
    "worker/database-url" = { from = module.secrets.names["worker-store-password"], template = local.store_url.worker }
    "db/worker-password"  = local.secret_sources["worker-store-password"]
    "db/result-password"  = local.secret_sources["result-store-password"]
    "db/monitor-password" = local.secret_sources["monitor-store-password"]
    "db/admin-password"   = { from = try(module.data.store.secret_arn, ""), template = "{}" }
  }

  everything_secrets = {
    "env:COOKIE_KEY"             = local.secret_sources["cookie-key"]
    "env:COOKIE_KEY_PREVIOUS"    = { from = "${module.secrets.names["cookie-key"]}:previous", template = "{}" }
    "env:VOTE_REDIS_PASSWORD"    = local.secret_sources["vote-queue-password"]
    "env:WORKER_REDIS_PASSWORD"  = local.secret_sources["worker-queue-password"]
    "env:MONITOR_REDIS_PASSWORD" = local.secret_sources["monitor-queue-password"]
    "env:WORKER_DB_PASSWORD"     = local.secret_sources["worker-store-password"]
    "env:RESULT_DB_PASSWORD"     = local.secret_sources["result-store-password"]
    "env:MONITOR_DB_PASSWORD"    = local.secret_sources["monitor-store-password"]
  }

  # Receivers of alerts. Each name without its prefix is a file of infra/monitoring/alertmanager/receivers.
  alert_secrets = concat(["alert-watchdog-url"], flatten([for severity in ["page", "ticket"] : [for kind in ["url", "slack-url", "teams-url", "pagerduty-key"] : "alert-${severity}-${kind}"]]))

  # ECR authenticates by the machines' role, any other registry by a secret.
  uses_ecr     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.", var.image_registry))
  pull_secrets = local.uses_ecr ? [] : ["image-pull-secret"]
  pull_secret  = one([for secret in local.pull_secrets : module.secrets.names[secret]])

  # Secrets that each role may read.
  readable_secrets = {
    front      = concat(["vote-queue-password", "cookie-key", "result-store-password"], local.pull_secrets)
    worker     = concat(["worker-queue-password", "worker-store-password", "result-store-password", "monitor-store-password"], local.pull_secrets)
    everything = concat(["cookie-key", "vote-queue-password", "worker-queue-password", "monitor-queue-password", "worker-store-password", "result-store-password", "monitor-store-password"], local.pull_secrets)
    monitoring = concat(["grafana-admin-password"], local.alert_secrets, var.single_instance ? [] : ["monitor-queue-password", "monitor-store-password"])
  }
  # Reading a parameter includes decrypting it. The key allows that for these only: Parameter Store sends the parameter's ARN as
  # encryption context.
  read_statements = { for role, keys in local.readable_secrets : role => [
    {
      actions   = ["ssm:GetParameter"]
      resources = concat([for name in [aws_ssm_parameter.settings.arn] : name if role != "monitoring"], [for key in keys : module.secrets.arns[key]])
    },
    {
      actions   = ["kms:Decrypt"]
      resources = [module.secrets.key_arn]
      condition = { StringEquals = { "kms:EncryptionContext:PARAMETER_ARN" = [for key in keys : module.secrets.arns[key]] } }
    },
  ] }

  settings = { parameter = aws_ssm_parameter.settings.name, version = aws_ssm_parameter.settings.version }
  store = var.store == "self-hosted" ? null : {
    address  = module.data.store.address
    port     = local.ports.database
    database = module.data.store.database
    admin    = module.data.store.admin
    ca_url   = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
  }
}

resource "aws_ssm_parameter" "settings" {
  name        = "/${local.name}/settings"
  description = "Settings of the services; a change replaces the machines of groups"
  type        = "String"
  value       = join("\n", concat([for name, value in local.all_settings : "${name}='${replace(value, "'", "\\'")}'"], [""]))
}

locals {
  # Variables that the compose file passes on to a service under the same name.
  known_settings = toset([for names in regexall("(?m)^ +([A-Z][A-Z0-9_]*): [$][{]([A-Z][A-Z0-9_]*)[:-]", file("${path.module}/../../../../docker-compose.yml")) : names[0] if names[0] == names[1]])

  all_settings = merge(
    {
      LOG_FORMAT = "json"
      # Only when HTTPS serves: the URLs begin with https then.
      PUBLIC_HTTPS = tostring(var.enable_alb && startswith(try(module.alb["this"].urls.vote, ""), "https:"))
    },
    # MemoryDB's configuration cannot be read. It stores every write in two zones before it acknowledges.
    var.queue == "memorydb" ? { QUEUE_DURABILITY = "managed" } : {},
    # Limits per address trust the load balancer's X-Forwarded-For, and CloudFront's if it is in front, and no other.
    var.enable_alb ? { TRUSTED_PROXIES = join(",", concat([local.network.cidr], sort(flatten([for list in data.aws_ec2_managed_prefix_list.cloudfront : [for entry in list.entries : entry.cidr]])))) } : {},
    # Without a load balancer, the pages' public names are unknown. The compose file's default is valid on a laptop only.
    var.enable_alb ? { VOTE_URL = module.alb["this"].urls.vote, RESULT_URL = module.alb["this"].urls.result } : { VOTE_URL = "", RESULT_URL = "" },
    var.service_settings,
  )
}

module "front" {
  source   = "../compute"
  for_each = local.fronts

  name               = "${local.name}-front-${each.key}"
  environment        = var.environment
  role               = "front"
  subnet_ids         = local.machine_subnets
  public_address     = local.public_machines
  security_group_ids = [module.security.group_ids.front]
  target_group_arns  = { for service in ["vote", "result"] : service => module.alb["this"].target_groups["${service}-${each.key}"].arn }
  architecture       = var.architecture
  instance_types     = var.instance_types.front
  size               = each.value.size
  spot_percent       = var.spot_percent
  # The smallest machine serves a thousand votes per second with capacity to spare; this leaves headroom for bursts.
  requests_target          = each.value.weight == 0 ? null : { label = "${module.alb["this"].arn_suffix}/${module.alb["this"].target_groups["vote-${each.key}"].arn_suffix}", per_minute = 30000 }
  drain_seconds            = local.drain_seconds
  images                   = { registry = var.image_registry, tag = each.value.tag, pull_secret = local.pull_secret }
  settings                 = local.settings
  secrets                  = local.front_secrets
  store                    = local.store
  statements               = local.read_statements.front
  log_group                = module.monitoring.log_group
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "worker" {
  source   = "../compute"
  for_each = local.workers

  name                     = "${local.name}-worker"
  environment              = var.environment
  role                     = "worker"
  subnet_ids               = local.machine_subnets
  public_address           = local.public_machines
  security_group_ids       = [module.security.group_ids.worker]
  architecture             = var.architecture
  instance_types           = var.instance_types.worker
  size                     = each.value.size
  spot_percent             = var.spot_percent
  images                   = { registry = var.image_registry, tag = each.value.tag == null ? var.releases[local.main_release].tag : each.value.tag, pull_secret = local.pull_secret }
  settings                 = local.settings
  secrets                  = local.worker_secrets
  store                    = local.store
  statements               = concat(local.read_statements.worker, [{ actions = ["secretsmanager:GetSecretValue"], resources = [module.data.store.secret_arn] }])
  log_group                = module.monitoring.log_group
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "everything" {
  source   = "../compute"
  for_each = local.everything

  name                     = "${local.name}-everything"
  environment              = var.environment
  role                     = "everything"
  single_instance          = true
  zone                     = local.network.zones[0]
  subnet_ids               = local.machine_subnets
  public_address           = local.public_machines
  security_group_ids       = [module.security.group_ids.front, module.security.group_ids.worker]
  target_group_arns        = var.enable_alb ? { for service in ["vote", "result"] : service => module.alb["this"].target_groups["${service}-${local.main_release}"].arn } : {}
  architecture             = var.architecture
  instance_types           = var.instance_types.everything
  snapshot_retention_days  = var.backup_retention_days
  data_snapshot            = var.restore.disk
  images                   = { registry = var.image_registry, tag = each.value.tag, pull_secret = local.pull_secret }
  settings                 = local.settings
  secrets                  = local.everything_secrets
  statements               = local.read_statements.everything
  log_group                = module.monitoring.log_group
  permissions_boundary_arn = var.permissions_boundary_arn
  alarm_topic_arn          = module.monitoring.topic_arn
}
