# Low cost: everything on one machine, without a NAT gateway. enable_alb = true adds the load balancer.

locals {
  service_settings = {}
}

module "voting_app" {
  source = "../../modules/stack"

  environment  = "dev"
  cidr         = "10.0.0.0/16"
  nat_gateways = "none"

  single_instance = true
  store           = "self-hosted"
  queue           = "self-hosted"
  instance_types  = { everything = ["t4g.small"], monitoring = "t4g.small" }

  deletion_protection   = false
  backup_retention_days = 3
  log_retention_days    = 7
  budget_usd            = 90

  zone_names       = var.zone_names
  existing_network = var.existing_network
  adopted_groups   = var.adopted_groups

  image_registry = var.image_registry
  releases       = var.releases
  repository     = var.repository

  monitoring_urls = var.monitoring_urls
  pagerduty_url   = var.pagerduty_url

  admin_cidrs      = var.admin_cidrs
  public_cidrs     = var.public_cidrs
  enable_alb       = coalesce(var.enable_alb, false)
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
