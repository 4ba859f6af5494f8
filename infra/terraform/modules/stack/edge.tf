# The public side: load balancer, WAF, DNS and CDN.

locals {
  with_alb = var.enable_alb ? { this = true } : {}
  with_dns = var.enable_alb && var.domain != null ? { this = true } : {}
  with_cdn = var.enable_cdn ? { this = true } : {}
  hosts    = var.domain == null ? null : { vote = var.domain.vote, result = var.domain.result }

  # Behind CloudFront, the load balancer needs a name of its own that its certificate covers.
  origin = var.domain == null ? "" : "origin-${var.domain.vote}"
}

module "alb" {
  source   = "../alb"
  for_each = local.with_alb

  name              = local.name
  vpc_id            = local.network.vpc_id
  subnet_ids        = local.network.public_subnet_ids
  security_group_id = module.security.group_ids.load_balancer
  services = {
    vote   = { port = local.ports.vote, health_path = local.health_path }
    result = { port = local.ports.result, health_path = local.health_path }
  }
  release_weights     = var.single_instance ? { for release in keys(var.releases) : release => 100 } : { for release, settings in var.releases : release => settings.weight }
  https               = var.https
  certificate_arn     = var.certificate_arn != null ? var.certificate_arn : one([for dns in module.dns : dns.certificate_arn])
  hosts               = local.hosts
  drain_seconds       = local.drain_seconds
  deletion_protection = var.deletion_protection
  log_retention_days  = var.log_retention_days
}

module "waf" {
  source   = "../waf"
  for_each = var.enable_waf ? local.with_alb : {}

  name              = local.name
  load_balancer_arn = module.alb["this"].arn
  # Only requests through CloudFront have a trustworthy header; other clients could send any value.
  address_header     = var.cdn_only ? module.cdn["this"].address_header : null
  log_retention_days = var.log_retention_days
}

module "dns" {
  source   = "../dns"
  for_each = local.with_dns

  zone_id = var.domain.zone_id
  names   = concat(values(local.hosts), [for origin in [local.origin] : origin if var.enable_cdn])
  records = merge(
    { for host in values(local.hosts) : host => var.enable_cdn ? module.cdn["this"].alias : { name = module.alb["this"].dns_name, zone_id = module.alb["this"].zone_id } },
    { for origin in [local.origin] : origin => { name = module.alb["this"].dns_name, zone_id = module.alb["this"].zone_id } if var.enable_cdn },
  )
}

# Addresses from which CloudFront sends requests to the load balancer.
data "aws_ec2_managed_prefix_list" "cloudfront" {
  for_each = local.with_cdn

  name = "com.amazonaws.global.cloudfront.origin-facing"
}

module "cdn" {
  source   = "../cdn"
  for_each = local.with_cdn

  name   = local.name
  hosts  = local.hosts
  origin = local.origin
}
