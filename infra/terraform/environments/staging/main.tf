# The same components as prod, the smallest of each kind, in two zones with one NAT gateway.

locals {
  # Size of the group of a release that sets no size.
  size             = { min = 1, desired = 1, max = 2 }
  service_settings = {}
}

module "voting_app" {
  source = "../../modules/stack"

  environment  = "staging"
  cidr         = "10.1.0.0/16"
  nat_gateways = "one"

  single_instance      = false
  worker               = { size = { min = 1, desired = 1, max = 2 } }
  spot_percent         = 100
  store                = "rds"
  store_instance_class = "db.t4g.micro"
  queue                = "memorydb"
  queue_node_type      = "db.t4g.small"
  instance_types       = { monitoring = "t4g.small" }

  deletion_protection   = false
  backup_retention_days = 3
  log_retention_days    = 14
  budget_usd            = 260

  zone_names       = var.zone_names
  existing_network = var.existing_network
  adopted_groups   = var.adopted_groups

  image_registry = var.image_registry
  releases       = { for name, release in var.releases : name => merge(release, { size = coalesce(release.size, local.size) }) }
  repository     = var.repository

  monitoring_urls = var.monitoring_urls
  pagerduty_url   = var.pagerduty_url

  admin_cidrs      = var.admin_cidrs
  public_cidrs     = var.public_cidrs
  enable_alb       = coalesce(var.enable_alb, true)
  domain           = var.domain
  https            = var.https
  allow_plain_http = var.allow_plain_http
  certificate_arn  = var.certificate_arn
  enable_cdn       = var.enable_cdn
  cdn_only         = var.cdn_only
  direct_access    = var.direct_access

  interface_endpoints = var.interface_endpoints
  outbound_cidrs      = var.outbound_cidrs

  permissions_boundary_arn = var.permissions_boundary_arn
  restore                  = var.restore

  service_settings = merge(local.service_settings, var.service_settings)
  emails           = var.emails
}
