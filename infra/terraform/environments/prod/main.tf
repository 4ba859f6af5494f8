# Three zones. No single failure interrupts service, except that of the queue, whose data is in at least two zones. Deletion
# protection is on.

locals {
  # Size of the group of a release that sets no size.
  size = { min = 2, desired = 2, max = 10 }
  # Many people share the address of an office or a school; the README explains the limits.
  service_settings = {
    VOTES_PER_MINUTE      = "600"
    NEW_VOTERS_PER_MINUTE = "300"
  }
}

module "voting_app" {
  source = "../../modules/stack"

  environment  = "prod"
  cidr         = "10.2.0.0/16"
  zones        = 3
  nat_gateways = "per-zone"

  single_instance         = false
  worker                  = { size = { min = 2, desired = 2, max = 4 } }
  store                   = "rds"
  store_instance_class    = "db.t4g.medium"
  store_allocated_storage = 50
  multi_az                = true
  queue                   = "memorydb"
  queue_node_type         = "db.t4g.medium"

  enable_waf            = true
  deletion_protection   = true
  backup_retention_days = 14
  log_retention_days    = 90
  budget_usd            = 650

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
