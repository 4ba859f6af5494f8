# The network: one of our own, or an existing one, of which nothing is changed.

locals {
  with_own_network = var.existing_network == null ? { this = true } : {}

  # Each subnet of an existing network by its zone and tier.
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
    # Without subnets for data, those of the machines; a self-hosted store and queue use none of them.
    data_subnet_ids   = [for zone, subnets in var.existing_network.zones : coalesce(subnets.data, subnets.private, subnets.public)]
    s3_prefix_list_id = null
  }

  # Without a gateway, machines reach the internet from the public subnets, under addresses of their own.
  public_machines = var.nat_gateways == "none"
  # Known when what machines need to start is there.
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

moved {
  from = module.vpc
  to   = module.vpc["this"]
}

# The arguments are what AWS is asked for: a plan fails where the network has other addresses, or a subnet is in another network
# or zone than it is said to be.
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
