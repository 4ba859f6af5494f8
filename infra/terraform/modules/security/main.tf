# Security groups. rules.tf has every open port. There is no SSH: operators use Session Manager, which needs no open port.

locals {
  groups = merge({
    load_balancer = "Load balancer"
    front         = "Machines of the voting page and of the result page"
    worker        = "Machines of the worker"
    monitoring    = "Machine of Prometheus and Grafana"
    queue         = "Queue, if it is an AWS service"
    database      = "Store, if it is an AWS service"
  }, var.endpoints ? { endpoints = "Interface endpoints of AWS services" } : {})
}

resource "aws_security_group" "this" {
  for_each = local.groups

  # AWS cannot change the name and the description of a group: an imported one keeps its own.
  name        = try(var.adopted_groups[each.key].name, null)
  name_prefix = contains(keys(var.adopted_groups), each.key) ? null : "${var.name}-${replace(each.key, "_", "-")}-"
  description = try(var.adopted_groups[each.key].description, each.value)
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-${replace(each.key, "_", "-")}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = local.ingress

  security_group_id            = aws_security_group.this[each.value.to].id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = each.value.cidr
  referenced_security_group_id = each.value.from == null ? null : aws_security_group.this[each.value.from].id

  tags = { Name = each.key }

  lifecycle {
    create_before_destroy = true
  }
}

# A CDN's prefix list counts as many rules as it has entries, so the limit of a group allows one port only. The rule is created before
# the other ingress rules are removed.
resource "aws_vpc_security_group_ingress_rule" "cdn" {
  for_each = local.cdn

  security_group_id = aws_security_group.this["load_balancer"].id
  description       = "HTTPS from the CDN"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  prefix_list_id    = var.public_prefix_list_id

  tags = { Name = "HTTPS from the CDN" }

  depends_on = [aws_vpc_security_group_ingress_rule.this]
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = local.egress

  security_group_id            = aws_security_group.this[each.value.from].id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = each.value.cidr
  prefix_list_id               = each.value.list
  referenced_security_group_id = each.value.to == null ? null : aws_security_group.this[each.value.to].id

  tags = { Name = each.key }
}
