# An environment, composed of the other modules.

locals {
  name = "voting-app-${var.environment}"

  # The same ports as in the compose stack and in the services' defaults.
  ports = {
    vote              = 8080
    result            = 8081
    worker            = 8082
    vote_management   = 8090
    result_management = 8091
    queue             = 6379
    database          = 5432
    grafana           = 3000
    prometheus        = 9090
    node_exporter     = 9100
    redis_exporter    = 9121
    postgres_exporter = 9187
    cadvisor          = 8089
  }
  health_path   = "/ready"
  drain_seconds = 35

  # AWS services that machines need.
  needed_endpoints = toset(concat(
    ["ec2", "logs", "monitoring", "ssm", "ssmmessages"],
    var.single_instance ? [] : ["autoscaling"],
    var.store == "rds" ? ["secretsmanager"] : [],
    var.repository == null ? [] : ["sns"],
    local.uses_ecr ? ["ecr.api", "ecr.dkr"] : [],
  ))

  main_release = [for release in reverse(sort([for name, release in var.releases : format("%03d %s", release.weight, name)])) : split(" ", release)[1]][0]
}

module "security" {
  source = "../security"

  name                  = local.name
  vpc_id                = local.network.vpc_id
  ports                 = local.ports
  load_balancer         = var.enable_alb
  direct_access         = var.single_instance && var.direct_access
  self_hosted_data      = var.single_instance
  public_cidrs          = var.public_cidrs
  public_prefix_list_id = var.cdn_only ? data.aws_ec2_managed_prefix_list.cloudfront["this"].id : null
  admin_cidrs           = var.admin_cidrs
  adopted_groups        = var.adopted_groups
  endpoints             = length(var.interface_endpoints) > 0
  s3_prefix_list_id     = local.network.s3_prefix_list_id
  outbound_cidrs        = var.outbound_cidrs
}

module "endpoints" {
  source = "../endpoints"

  name              = local.name
  vpc_id            = local.network.vpc_id
  subnet_ids        = local.public_machines ? local.network.public_subnet_ids : local.network.private_subnet_ids
  security_group_id = lookup(module.security.group_ids, "endpoints", null)
  services          = var.interface_endpoints
}

module "secrets" {
  source = "../secrets"

  name = local.name
}

module "data" {
  source = "../data"

  name                    = local.name
  subnet_ids              = local.network.data_subnet_ids
  store                   = var.store
  store_instance_class    = var.store_instance_class
  store_allocated_storage = var.store_allocated_storage
  store_security_group_id = module.security.group_ids.database
  queue                   = var.queue
  queue_node_type         = var.queue_node_type
  queue_security_group_id = module.security.group_ids.queue
  ports                   = { database = local.ports.database, queue = local.ports.queue }
  queue_passwords         = { vote = module.secrets.values["vote-queue-password"], worker = module.secrets.values["worker-queue-password"], monitor = module.secrets.values["monitor-queue-password"] }
  multi_az                = var.multi_az
  store_snapshot          = var.restore.store
  queue_snapshot          = var.restore.queue
  deletion_protection     = var.deletion_protection
  backup_retention_days   = var.backup_retention_days
  log_retention_days      = var.log_retention_days
}

module "monitoring" {
  source = "../monitoring"

  name                     = local.name
  environment              = var.environment
  emails                   = var.emails
  budget_usd               = var.budget_usd
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn

  load_balancer = one([for alb in module.alb : {
    name          = alb.arn_suffix
    target_groups = { for key in local.target_group_keys : key => alb.target_groups[key].arn_suffix }
  }])
  groups = merge(
    { for release, settings in local.fronts : "${local.name}-front-${release}" => settings.size.min },
    { for worker in keys(local.workers) : "${local.name}-worker" => var.worker.size.min },
  )
  machines = { for machine, module in module.everything : "everything" => module.instance_id }
  store    = var.store == "rds" ? { identifier = module.data.store.identifier, allocated_storage = var.store_allocated_storage } : null
  queue    = var.queue == "self-hosted" ? null : { kind = var.queue, identifier = module.data.queue.identifier }

  host = var.repository == null ? null : {
    subnet_ids         = local.machine_subnets
    zone               = local.network.zones[0]
    public_address     = local.public_machines
    security_group_ids = [module.security.group_ids.monitoring]
    instance_type      = var.instance_types.monitoring
    architecture       = var.architecture
    statements         = local.read_statements.monitoring
    store              = local.store
    secrets = merge(
      { "grafana/admin-password" = local.secret_sources["grafana-admin-password"] },
      # On a single machine, the exporters run beside queue and store.
      { for server in ["queue", "store"] : "exporters/${server}-password" => local.secret_sources["monitor-${server}-password"] if !var.single_instance },
      { for name in local.alert_secrets : "alertmanager/${trimprefix(name, "alert-")}" => local.secret_sources[name] },
    )
    playbook = {
      repository = var.repository.url
      ref        = var.repository.ref
      variables = merge(local.exporter_variables, local.notification_urls, {
        environment_name            = var.environment
        aws_region                  = data.aws_region.this.region
        grafana_admin_password_file = "/opt/voting-app/secrets/grafana/admin-password"
        alert_secrets_folder        = "/opt/voting-app/secrets/alertmanager"
        monitoring_home             = "/opt/voting-app/monitoring"
        probe_urls                  = local.probe_urls
      })
    }
  }
}

data "aws_region" "this" {}
