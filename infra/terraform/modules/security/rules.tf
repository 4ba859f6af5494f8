# Tables of the rules. The keys are the descriptions.

locals {
  machines = ["front", "worker", "monitoring"]

  # Between the environment's own groups: one line is an ingress and an egress rule.
  internal = merge(
    {
      "vote: queue"                   = { from = "front", to = "queue", port = var.ports.queue }
      "worker: queue"                 = { from = "worker", to = "queue", port = var.ports.queue }
      "worker: database"              = { from = "worker", to = "database", port = var.ports.database }
      "result: database"              = { from = "front", to = "database", port = var.ports.database }
      "Prometheus: vote"              = { from = "monitoring", to = "front", port = var.ports.vote_management }
      "Prometheus: result"            = { from = "monitoring", to = "front", port = var.ports.result_management }
      "Prometheus: worker"            = { from = "monitoring", to = "worker", port = var.ports.worker }
      "Prometheus: front host"        = { from = "monitoring", to = "front", port = var.ports.node_exporter }
      "Prometheus: worker host"       = { from = "monitoring", to = "worker", port = var.ports.node_exporter }
      "Prometheus: own host"          = { from = "monitoring", to = "monitoring", port = var.ports.node_exporter }
      "Prometheus: front containers"  = { from = "monitoring", to = "front", port = var.ports.cadvisor }
      "Prometheus: worker containers" = { from = "monitoring", to = "worker", port = var.ports.cadvisor }
    },
    # The exporters of queue and store run beside these, or on the monitoring machine.
    var.self_hosted_data ? {
      "Prometheus: queue exporter"    = { from = "monitoring", to = "front", port = var.ports.redis_exporter }
      "Prometheus: database exporter" = { from = "monitoring", to = "front", port = var.ports.postgres_exporter }
      } : {
      "exporter: queue"    = { from = "monitoring", to = "queue", port = var.ports.queue }
      "exporter: database" = { from = "monitoring", to = "database", port = var.ports.database }
    },
    var.load_balancer ? {
      "load balancer: vote"   = { from = "load_balancer", to = "front", port = var.ports.vote }
      "load balancer: result" = { from = "load_balancer", to = "front", port = var.ports.result }
    } : {},
    var.endpoints ? { for group in local.machines : "${group}: AWS services" => { from = group, to = "endpoints", port = 443 } } : {},
  )

  # Public ingress: 80 and 443 of the load balancer, or the ports of the two pages, or both.
  public_ports = { for name, port in {
    "HTTP"   = { to = "load_balancer", port = 80 }
    "HTTPS"  = { to = "load_balancer", port = 443 }
    "vote"   = { to = "front", port = var.ports.vote }
    "result" = { to = "front", port = var.ports.result }
  } : name => port if port.to == "front" ? var.direct_access || !var.load_balancer : var.load_balancer }
  cdn       = { for name, port in { HTTPS = 443 } : name => port if var.load_balancer && var.public_prefix_list_id != null }
  from_cidr = length(local.cdn) > 0 ? {} : merge([for cidr in var.public_cidrs : { for name, port in local.public_ports : "${name} from ${cidr}" => merge(port, { cidr = cidr }) }]...)

  from_admin_cidr = merge([for cidr in var.admin_cidrs : {
    "Grafana from ${cidr}"    = { to = "monitoring", port = var.ports.grafana, cidr = cidr }
    "Prometheus from ${cidr}" = { to = "monitoring", port = var.ports.prometheus, cidr = cidr }
  }]...)

  ingress = { for name, rule in merge(local.internal, local.from_cidr, local.from_admin_cidr) : name => {
    to   = rule.to
    port = rule.port
    from = try(rule.from, null)
    cidr = try(rule.cidr, null)
  } }

  # Packages, images, the playbook, and AWS services without an endpoint. With the CIDR in every key, the rules for 0.0.0.0/0 would be
  # replaced by equal ones, which AWS rejects while the old ones exist.
  to_cidr = merge(flatten([for group in local.machines : [for cidr in var.outbound_cidrs : {
    "${group}: HTTPS ${cidr == "0.0.0.0/0" ? "out" : "to ${cidr}"}" = { from = group, port = 443, cidr = cidr }
    "${group}: HTTP ${cidr == "0.0.0.0/0" ? "out" : "to ${cidr}"}"  = { from = group, port = 80, cidr = cidr }
  }]])...)
  # S3's gateway endpoint: AWS's agents, and the layers of images in ECR.
  to_s3 = var.endpoints ? { for group in local.machines : "${group}: S3" => { from = group, port = 443, list = var.s3_prefix_list_id } } : {}

  egress = { for name, rule in merge(local.internal, local.to_cidr, local.to_s3) : name => {
    from = rule.from
    port = rule.port
    to   = try(rule.to, null)
    cidr = try(rule.cidr, null)
    list = try(rule.list, null)
  } }
}
