# The network: created, or an existing one that is not changed.

locals {
  with_own_network = var.existing_network == null ? { this = true } : {}

  # Each subnet of an existing network by tier and zone.
  existing_subnets = var.existing_network == null ? {} : merge([for zone, subnets in var.existing_network.zones : {
    for tier, id in { public = subnets.public, private = subnets.private, data = subnets.data } : "${tier} ${zone}" => { id = id, zone = zone } if id != null
  }]...)

  network = var.existing_network == null ? {
    vpc_id             = module.vpc["this"].vpc_id
    cidr               = module.vpc["this"].cidr
    zones              = module.vpc["this"].zones
    public_subnet_ids  = module.vpc["this"].public_subnet_ids
    private_subnet_ids = module.vpc["this"].private_subnet_ids
    data_subnet_ids    = module.vpc["this"].data_subnet_ids
    s3_prefix_list_id  = module.vpc["this"].s3_prefix_list_id
    } : {
    vpc_id             = data.aws_vpc.existing["this"].id
    cidr               = var.existing_network.cidr
    zones              = keys(var.existing_network.zones)
    public_subnet_ids  = [for zone, subnets in var.existing_network.zones : data.aws_subnet.existing["public ${zone}"].id]
    private_subnet_ids = [for zone, subnets in var.existing_network.zones : data.aws_subnet.existing["private ${zone}"].id if subnets.private != null]
    # Without subnets for data, those of the machines; not used if store and queue are self-hosted.
    data_subnet_ids   = [for zone, subnets in var.existing_network.zones : coalesce(subnets.data, subnets.private, subnets.public)]
    s3_prefix_list_id = null
  }

  # Without a NAT gateway, machines are in the public subnets, with public addresses.
  public_machines = var.nat_gateways == "none"
  # Available once the endpoints that machines need to start exist.
  machine_subnets = module.endpoints.subnet_ids
}

module "vpc" {
  source   = "../vpc"
  for_each = local.with_own_network

  name                     = local.name
  cidr                     = var.cidr
  zones                    = var.zones
  zone_names               = var.zone_names
  nat_gateways             = var.nat_gateways
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

# These data sources check existing_network: a plan fails if the addresses, a subnet's network or its zone differ.
data "aws_vpc" "existing" {
  for_each = { for key, network in { this = var.existing_network } : key => network if network != null }

  id         = each.value.vpc_id
  cidr_block = each.value.cidr
}

data "aws_subnet" "existing" {
  for_each = local.existing_subnets

  id                = each.value.id
  vpc_id            = var.existing_network.vpc_id
  availability_zone = each.value.zone
}
