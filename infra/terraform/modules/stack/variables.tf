variable "environment" {
  description = "Name of the environment"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment must have 2 to 8 of a-z and 0-9, such as dev, staging or prod: it is part of names whose length is limited."
  }
}

variable "cidr" {
  description = "Addresses of the network"
  type        = string
}

variable "zones" {
  description = "Number of availability zones"
  type        = number
  default     = 2
}

variable "zone_names" {
  description = "Names of the zones to use. Empty: the first ones of the region"
  type        = list(string)
  default     = []
}

variable "nat_gateways" {
  description = "Access of machines to the internet: from public subnets (none), by one NAT gateway (one), or by one in each zone (per-zone)"
  type        = string
}

variable "existing_network" {
  description = "Existing network to use instead of creating one: its id and addresses, and by zone the ids of its subnets. Public subnets have a route to the internet, private ones to a NAT gateway; those of data need none, and default to the private ones. cidr and zones are then ignored, and nat_gateways only selects the machines' subnets: public (none) or private"
  type = object({
    vpc_id = string
    cidr   = string
    zones  = map(object({ public = string, private = optional(string), data = optional(string) }))
  })
  default = null

  validation {
    condition     = var.existing_network == null || can(regex("^vpc-[0-9a-f]{8,17}$", var.existing_network.vpc_id))
    error_message = "existing_network.vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }

  validation {
    condition     = var.existing_network == null || try(cidrhost(var.existing_network.cidr, 0) == split("/", var.existing_network.cidr)[0] && !strcontains(var.existing_network.cidr, ":"), false)
    error_message = "existing_network.cidr must be the network's IPv4 addresses, such as 10.0.0.0/16, without host bits."
  }

  validation {
    condition     = var.existing_network == null || length(try(var.existing_network.zones, {})) >= 2
    error_message = "existing_network.zones must be at least two, so that one zone may fail: each with the ids of its subnets, such as { eu-central-1a = { public = \"subnet-…\", private = \"subnet-…\" } }."
  }

  validation {
    condition     = var.existing_network == null || alltrue(flatten([for subnets in values(try(var.existing_network.zones, {})) : [for id in [subnets.public, subnets.private, subnets.data] : id == null || can(regex("^subnet-[0-9a-f]{8,17}$", id))]]))
    error_message = "Subnets in existing_network.zones must be ids such as subnet-0123456789abcdef0."
  }

  validation {
    condition     = var.existing_network == null || var.nat_gateways == "none" || alltrue([for subnets in values(try(var.existing_network.zones, {})) : subnets.private != null])
    error_message = "Each of existing_network.zones needs a private subnet for the machines; or set nat_gateways = \"none\" for machines in the public ones."
  }

  validation {
    condition     = var.existing_network == null || var.single_instance || alltrue([for subnets in values(try(var.existing_network.zones, {})) : subnets.data != null || subnets.private != null])
    error_message = "Each of existing_network.zones needs a subnet data or private for store and queue."
  }
}

variable "adopted_groups" {
  description = "Names and descriptions, as AWS has them, of existing security groups to import (runbooks/adopt.md)"
  type        = map(object({ name = string, description = string }))
  default     = {}
}

variable "public_cidrs" {
  description = "Networks that reach the voting page and the result page"
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "admin_cidrs" {
  description = "Networks that reach Grafana and Prometheus directly. Empty: access through Session Manager only"
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.admin_cidrs) == 0 || var.nat_gateways == "none"
    error_message = "admin_cidrs have no effect where machines have no public address: use the tunnel of `terraform output grafana`."
  }
}

variable "single_instance" {
  description = "Everything on one machine, including queue and store, instead of auto scaling groups with managed data services"
  type        = bool

  validation {
    condition     = var.single_instance || var.enable_alb
    error_message = "Auto scaling groups need the load balancer: set enable_alb = true, or single_instance = true."
  }
}

variable "image_registry" {
  description = "Registry and path of the images, before /vote, /worker and /result, such as ghcr.io/example/voting-app"
  type        = string
}

variable "releases" {
  description = "Releases that run (blue, green or both): tag of the images, share of the traffic, number of machines"
  type = map(object({
    tag    = string
    weight = optional(number, 100)
    size   = optional(object({ min = number, desired = number, max = number }), { min = 1, desired = 1, max = 1 })
  }))

  validation {
    condition     = !var.single_instance || (length(var.releases) == 1)
    error_message = "A single machine runs only one release."
  }

  validation {
    condition     = length(var.releases) > 0 && alltrue([for release in keys(var.releases) : contains(["blue", "green"], release)])
    error_message = "releases must be blue, green or both."
  }

  validation {
    condition     = alltrue([for release in values(var.releases) : var.single_instance || release.weight == 0 || release.size.min >= 1])
    error_message = "A release with traffic needs at least one machine: set its size, or its weight to 0."
  }
}

variable "worker" {
  description = "Number of the worker's machines, and the tag of its image. Without tag, that of the release with the most traffic"
  type = object({
    tag  = optional(string)
    size = optional(object({ min = number, desired = number, max = number }), { min = 1, desired = 1, max = 1 })
  })
  default = {}
}

variable "architecture" {
  description = "Architecture of the processors: arm64 or amd64"
  type        = string
  default     = "arm64"
}

variable "instance_types" {
  description = "Instance types in order of preference, by role"
  type = object({
    everything = optional(list(string), ["t4g.medium"])
    front      = optional(list(string), ["t4g.small", "t4g.medium", "c7g.medium"])
    worker     = optional(list(string), ["t4g.small", "t4g.medium", "c7g.medium"])
    monitoring = optional(string, "t4g.small")
  })
  default = {}
}

variable "spot_percent" {
  description = "Percentage of spot instances beyond the first machine"
  type        = number
  default     = 0
}

variable "queue" {
  description = "Backend of the queue: memorydb, elasticache, or self-hosted on the single machine"
  type        = string

  validation {
    condition     = var.single_instance == (var.queue == "self-hosted")
    error_message = "queue must be self-hosted on a single machine, and memorydb or elasticache for auto scaling groups."
  }
}

variable "queue_node_type" {
  description = "Node type of the queue"
  type        = string
  default     = "db.t4g.small"
}

variable "store" {
  description = "Backend of the store: rds, or self-hosted on the single machine"
  type        = string

  validation {
    condition     = var.single_instance == (var.store == "self-hosted")
    error_message = "store must be self-hosted on a single machine, and rds for auto scaling groups."
  }
}

variable "store_instance_class" {
  description = "Instance class of the store"
  type        = string
  default     = "db.t4g.small"
}

variable "store_allocated_storage" {
  description = "Size of the store's disk in GB"
  type        = number
  default     = 20
}

variable "multi_az" {
  description = "Standby of the store in another zone"
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Deletion protection of load balancer, data and logs"
  type        = bool
}

variable "backup_retention_days" {
  description = "Retention of backups, in days"
  type        = number
  default     = 7
}

variable "enable_alb" {
  description = "Load balancer in front of the machines"
  type        = bool
  default     = false
}

variable "https" {
  description = "HTTPS for the pages, with a redirect from HTTP"
  type        = bool
  default     = false

  validation {
    condition     = !var.https || var.enable_alb
    error_message = "https is terminated at the load balancer: set enable_alb = true too."
  }

  validation {
    condition     = !var.https || var.domain != null || var.certificate_arn != null
    error_message = "https needs a certificate: set domain, for which one is created, or certificate_arn."
  }
}

variable "allow_plain_http" {
  description = "Allows an environment with deletion protection to run without HTTPS"
  type        = bool
  default     = false

  validation {
    condition     = !var.deletion_protection || var.https || var.allow_plain_http
    error_message = "Without HTTPS, anyone on the network path can read and change votes: set https = true and a domain or certificate_arn, or allow_plain_http = true."
  }
}

variable "certificate_arn" {
  description = "Existing certificate in ACM. null: one is created for domain"
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:aws[a-z-]*:acm:", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of a certificate in ACM: arn:aws:acm:…"
  }
}

variable "domain" {
  description = "Host names of the pages, and their Route 53 zone"
  type        = object({ zone_id = string, vote = string, result = string })
  default     = null

  validation {
    condition     = var.domain == null || var.enable_alb
    error_message = "domain needs the load balancer: set enable_alb = true too."
  }
}

variable "enable_waf" {
  description = "WAF in front of the load balancer, which blocks known attackers and floods"
  type        = bool
  default     = false

  validation {
    condition     = !var.enable_waf || var.enable_alb
    error_message = "enable_waf needs the load balancer: set enable_alb = true too."
  }
}

variable "enable_cdn" {
  description = "CloudFront in front of the load balancer"
  type        = bool
  default     = false

  validation {
    condition     = !var.enable_cdn || (var.https && var.domain != null)
    error_message = "enable_cdn needs https = true and a domain."
  }
}

variable "cdn_only" {
  description = "Restriction of the load balancer to requests from CloudFront. Set it when the pages' names resolve to CloudFront everywhere, hours after enable_cdn"
  type        = bool
  default     = false

  validation {
    condition     = !var.cdn_only || var.enable_cdn
    error_message = "cdn_only blocks all requests that do not come through CloudFront: set enable_cdn = true first, and apply."
  }
}

variable "direct_access" {
  description = "Access to a single machine's own ports in addition to the load balancer. Set it to false when the load balancer serves"
  type        = bool
  default     = true

  validation {
    condition     = var.direct_access || var.enable_alb
    error_message = "Without the load balancer, the machine's own ports are the only access: set enable_alb = true first, and apply."
  }
}

variable "service_settings" {
  description = "Settings of the services, as in the README's table, such as POLL_QUESTION"
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.service_settings), local.known_settings)) == 0
    error_message = "service_settings has unknown settings, or settings that this module sets: ${join(", ", setsubtract(keys(var.service_settings), local.known_settings))}. Available are ${join(", ", sort(local.known_settings))}."
  }

  validation {
    condition     = alltrue([for value in values(var.service_settings) : !can(regex("[\n\\\\]", value))])
    error_message = "Values in service_settings must have no line break and no backslash."
  }
}

variable "emails" {
  description = "Email addresses that receive alarms"
  type        = list(string)
  default     = []
}

variable "budget_usd" {
  description = "Monthly budget of the environment"
  type        = number
}

variable "log_retention_days" {
  description = "Retention of logs, in days"
  type        = number
  default     = 30
}

variable "repository" {
  description = "Git repository of the monitoring machine's playbook, and its branch or tag. null: no such machine"
  type        = object({ url = string, ref = string })
  default     = null

  validation {
    condition     = var.repository == null || can(regex("^https://", var.repository.url))
    error_message = "repository.url must be the URL to clone from, such as https://github.com/example/voting-app.git."
  }
}

variable "monitoring_urls" {
  description = "URLs of Prometheus, Alertmanager and Grafana for browsers, and of the folder of runbooks, for links in notifications. Null: localhost, for a tunnel of Session Manager, and the repository's own runbooks"
  type = object({
    prometheus   = optional(string)
    alertmanager = optional(string)
    grafana      = optional(string)
    runbooks     = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for url in values(var.monitoring_urls) : url == null || can(regex("^https?://[^[:space:]\"]+[^/[:space:]\"]/?$", url))])
    error_message = "Each of monitoring_urls must begin with https:// or http://, such as https://prometheus.example.org."
  }
}

variable "pagerduty_url" {
  description = "PagerDuty's API, such as https://events.eu.pagerduty.com/v2/enqueue for accounts in the EU. Null: https://events.pagerduty.com/v2/enqueue"
  type        = string
  default     = null

  validation {
    condition     = var.pagerduty_url == null || can(regex("^https://[^[:space:]\"]+$", var.pagerduty_url))
    error_message = "pagerduty_url must begin with https://, such as https://events.eu.pagerduty.com/v2/enqueue."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles. null: none"
  type        = string
  default     = null
}

variable "restore" {
  description = "Snapshots to create the store, the queue and a single machine's data disk from. Used only when these are created (runbooks/restore.md)"
  type        = object({ store = optional(string), queue = optional(string), disk = optional(string) })
  default     = {}
}

variable "interface_endpoints" {
  description = "AWS services that machines reach inside the network, such as ssm (modules/endpoints has the list). Each is billed by the hour in each zone"
  type        = set(string)
  default     = []

  validation {
    condition     = var.existing_network == null || length(var.interface_endpoints) == 0
    error_message = "interface_endpoints are created only in a network of the environment's own; an existing_network has its own endpoints, or none."
  }
}

variable "outbound_cidrs" {
  description = "Networks that machines reach by HTTPS and HTTP, for packages, images and the playbook. Other values than 0.0.0.0/0 need interface_endpoints"
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = contains(var.outbound_cidrs, "0.0.0.0/0") || length(setsubtract(local.needed_endpoints, var.interface_endpoints)) == 0
    error_message = "Without 0.0.0.0/0 in outbound_cidrs, machines reach AWS services only by endpoints: add to interface_endpoints ${join(", ", sort(setsubtract(local.needed_endpoints, var.interface_endpoints)))}."
  }
}
