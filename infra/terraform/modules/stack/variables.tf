variable "environment" {
  description = "Which environment this is"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment has 2 to 8 of a-z and 0-9, such as dev, staging or prod: it is a part of names that may not be long."
  }
}

variable "cidr" {
  description = "The network's addresses"
  type        = string
}

variable "zones" {
  description = "How many availability zones are used"
  type        = number
  default     = 2
}

variable "zone_names" {
  description = "The zones that are used, by name; empty for the first ones of the region"
  type        = list(string)
  default     = []
}

variable "nat_gateways" {
  description = "How machines reach the internet: from public subnets (none), by one gateway (one), or by one in each zone (per-zone)"
  type        = string
}

variable "existing_network" {
  description = "A network that exists already, instead of one of our own: its id and addresses, and by zone the ids of its subnets. Public ones lead to the internet, private ones reach it by a gateway; those of data need no way out, and are the private ones where they are left out. cidr and zones then say nothing, and nat_gateways only whether machines are in the public subnets (none) or in the private ones"
  type = object({
    vpc_id = string
    cidr   = string
    zones  = map(object({ public = string, private = optional(string), data = optional(string) }))
  })
  default = null

  validation {
    condition     = var.existing_network == null || can(regex("^vpc-[0-9a-f]{8,17}$", var.existing_network.vpc_id))
    error_message = "existing_network.vpc_id is the id of a VPC, such as vpc-0123456789abcdef0."
  }

  validation {
    condition     = var.existing_network == null || try(cidrhost(var.existing_network.cidr, 0) == split("/", var.existing_network.cidr)[0] && !strcontains(var.existing_network.cidr, ":"), false)
    error_message = "existing_network.cidr is the network's IPv4 addresses, such as 10.0.0.0/16, without host bits."
  }

  validation {
    condition     = var.existing_network == null || length(try(var.existing_network.zones, {})) >= 2
    error_message = "existing_network.zones are two at least, so that a zone may fail: each with the ids of its subnets, such as { eu-central-1a = { public = \"subnet-…\", private = \"subnet-…\" } }."
  }

  validation {
    condition     = var.existing_network == null || alltrue(flatten([for subnets in values(try(var.existing_network.zones, {})) : [for id in [subnets.public, subnets.private, subnets.data] : id == null || can(regex("^subnet-[0-9a-f]{8,17}$", id))]]))
    error_message = "Subnets in existing_network.zones are ids such as subnet-0123456789abcdef0."
  }

  validation {
    condition     = var.existing_network == null || var.nat_gateways == "none" || alltrue([for subnets in values(try(var.existing_network.zones, {})) : subnets.private != null])
    error_message = "Each of existing_network.zones needs a private subnet, where machines are; or set nat_gateways = \"none\" for machines in the public ones."
  }

  validation {
    condition     = var.existing_network == null || var.single || alltrue([for subnets in values(try(var.existing_network.zones, {})) : subnets.data != null || subnets.private != null])
    error_message = "Each of existing_network.zones needs a subnet data or private, where store and queue are."
  }
}

variable "adopted_groups" {
  description = "Security groups that were there before and are imported: their names and descriptions, as AWS has them (runbooks/adopt.md)"
  type        = map(object({ name = string, description = string }))
  default     = {}
}

variable "public_cidrs" {
  description = "Who may vote and see the result"
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "admin_cidrs" {
  description = "From where Grafana and Prometheus are reached. Empty: only through Session Manager"
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.admin_cidrs) == 0 || var.nat_gateways == "none"
    error_message = "admin_cidrs open nothing where machines have no public address: use the tunnel of `terraform output grafana`."
  }
}

variable "single" {
  description = "Everything on one machine, queue and store too, instead of groups of machines with managed data"
  type        = bool

  validation {
    condition     = var.single || var.enable_alb
    error_message = "Groups of machines need the load balancer: set enable_alb = true, or single = true."
  }
}

variable "image_registry" {
  description = "Where the images are: the path before /vote, /worker and /result, such as ghcr.io/example/voting-app"
  type        = string
}

variable "releases" {
  description = "The releases that run, blue, green or both: the images' tag, the share of the traffic, and how many machines"
  type = map(object({
    tag    = string
    weight = optional(number, 100)
    size   = optional(object({ min = number, desired = number, max = number }), { min = 1, desired = 1, max = 1 })
  }))

  validation {
    condition     = !var.single || (length(var.releases) == 1)
    error_message = "A single machine runs one release."
  }

  validation {
    condition     = length(var.releases) > 0 && alltrue([for release in keys(var.releases) : contains(["blue", "green"], release)])
    error_message = "releases are blue, green or both."
  }

  validation {
    condition     = alltrue([for release in values(var.releases) : var.single || release.weight == 0 || release.size.min >= 1])
    error_message = "A release that gets traffic needs a machine at least: set its size, or its weight to 0."
  }
}

variable "worker" {
  description = "The worker's machines, and its images' tag if it is not that of the release with the most traffic"
  type = object({
    tag  = optional(string)
    size = optional(object({ min = number, desired = number, max = number }), { min = 1, desired = 1, max = 1 })
  })
  default = {}
}

variable "architecture" {
  description = "The processors: arm64 or amd64"
  type        = string
  default     = "arm64"
}

variable "instance_types" {
  description = "What machines may be, the best first, for each role"
  type = object({
    everything = optional(list(string), ["t4g.medium"])
    front      = optional(list(string), ["t4g.small", "t4g.medium", "c7g.medium"])
    worker     = optional(list(string), ["t4g.small", "t4g.medium", "c7g.medium"])
    monitoring = optional(string, "t4g.small")
  })
  default = {}
}

variable "spot_percent" {
  description = "How many of a hundred machines beyond the first are bought on the spot market"
  type        = number
  default     = 0
}

variable "queue" {
  description = "Where ballots wait: memorydb, elasticache, or self-hosted on the single machine"
  type        = string

  validation {
    condition     = var.single == (var.queue == "self-hosted")
    error_message = "queue is self-hosted on a single machine, and memorydb or elasticache for groups of machines."
  }
}

variable "queue_class" {
  description = "The queue's machine"
  type        = string
  default     = "db.t4g.small"
}

variable "store" {
  description = "Where votes are stored: rds, or self-hosted on the single machine"
  type        = string

  validation {
    condition     = var.single == (var.store == "self-hosted")
    error_message = "store is self-hosted on a single machine, and rds for groups of machines."
  }
}

variable "store_class" {
  description = "The store's machine"
  type        = string
  default     = "db.t4g.small"
}

variable "store_gb" {
  description = "The store's disk"
  type        = number
  default     = 20
}

variable "highly_available" {
  description = "A standby of the store in another zone"
  type        = bool
  default     = false
}

variable "protected" {
  description = "Whether load balancer, data and logs cannot be deleted by mistake"
  type        = bool
}

variable "backup_days" {
  description = "How long backups are kept"
  type        = number
  default     = 7
}

variable "enable_alb" {
  description = "Whether the world comes by a load balancer"
  type        = bool
  default     = false
}

variable "https" {
  description = "Whether pages come by HTTPS, and HTTP leads there"
  type        = bool
  default     = false

  validation {
    condition     = !var.https || var.enable_alb
    error_message = "https ends at the load balancer: set enable_alb = true too."
  }

  validation {
    condition     = !var.https || var.domain != null || var.certificate_arn != null
    error_message = "https needs a certificate: set domain, for which one is made, or certificate_arn."
  }
}

variable "allow_plain_http" {
  description = "Whether what is protected may do without HTTPS"
  type        = bool
  default     = false

  validation {
    condition     = !var.protected || var.https || var.allow_plain_http
    error_message = "Without HTTPS anybody on the way can read and change votes: set https = true and a domain or certificate_arn, or allow_plain_http = true."
  }
}

variable "certificate_arn" {
  description = "A certificate that exists already"
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:aws[a-z-]*:acm:", var.certificate_arn))
    error_message = "certificate_arn is the ARN of a certificate in ACM: arn:aws:acm:…"
  }
}

variable "domain" {
  description = "Host names for the pages, and the Route 53 zone that they are in"
  type        = object({ zone_id = string, vote = string, result = string })
  default     = null

  validation {
    condition     = var.domain == null || var.enable_alb
    error_message = "domain names the load balancer: set enable_alb = true too."
  }
}

variable "enable_waf" {
  description = "Whether known attackers and floods are turned away before the services"
  type        = bool
  default     = false

  validation {
    condition     = !var.enable_waf || var.enable_alb
    error_message = "enable_waf protects the load balancer: set enable_alb = true too."
  }
}

variable "enable_cdn" {
  description = "Whether CloudFront is in front of the load balancer"
  type        = bool
  default     = false

  validation {
    condition     = !var.enable_cdn || (var.https && var.domain != null)
    error_message = "enable_cdn needs https = true and a domain."
  }
}

variable "cdn_only" {
  description = "Whether the load balancer listens to CloudFront alone. Set it when the pages' names lead to CloudFront everywhere, hours after enable_cdn"
  type        = bool
  default     = false

  validation {
    condition     = !var.cdn_only || var.enable_cdn
    error_message = "cdn_only closes the door to all but CloudFront: set enable_cdn = true first, and apply."
  }
}

variable "direct_access" {
  description = "Whether a single machine's own ports stay open beside the load balancer. Set it to false when the load balancer serves"
  type        = bool
  default     = true

  validation {
    condition     = var.direct_access || var.enable_alb
    error_message = "Without the load balancer the machine's own ports are the only door: set enable_alb = true first, and apply."
  }
}

variable "poll" {
  description = "The services' settings, as in the README's table, such as POLL_QUESTION"
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.poll), local.settings_of_services)) == 0
    error_message = "poll has settings that there are not, or that are made here: ${join(", ", setsubtract(keys(var.poll), local.settings_of_services))}. There are ${join(", ", sort(local.settings_of_services))}."
  }

  validation {
    condition     = alltrue([for value in values(var.poll) : !can(regex("[\n\\\\]", value))])
    error_message = "Values in poll have no line break and no backslash."
  }
}

variable "emails" {
  description = "Who hears of alarms"
  type        = list(string)
  default     = []
}

variable "budget_usd" {
  description = "What the environment may cost a month"
  type        = number
}

variable "log_retention_days" {
  description = "How long logs are kept"
  type        = number
  default     = 30
}

variable "repository" {
  description = "Where the monitoring machine gets its playbook from, and the branch or tag; null for no such machine"
  type        = object({ url = string, ref = string })
  default     = null

  validation {
    condition     = var.repository == null || can(regex("^https://", var.repository.url))
    error_message = "repository.url is where the repository is cloned from, such as https://github.com/example/voting-app.git."
  }
}

variable "monitoring_urls" {
  description = "Prometheus, Alertmanager and Grafana as browsers reach them, and the folder of runbooks, for links in notifications. Null: localhost, by a tunnel of Session Manager, and the repository's own runbooks"
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
    error_message = "Each of monitoring_urls begins with https:// or http://, such as https://prometheus.example.org."
  }
}

variable "pagerduty_url" {
  description = "PagerDuty's API, such as https://events.eu.pagerduty.com/v2/enqueue for accounts in the EU. Null: https://events.pagerduty.com/v2/enqueue"
  type        = string
  default     = null

  validation {
    condition     = var.pagerduty_url == null || can(regex("^https://[^[:space:]\"]+$", var.pagerduty_url))
    error_message = "pagerduty_url begins with https://, such as https://events.eu.pagerduty.com/v2/enqueue."
  }
}

variable "permissions_boundary_arn" {
  description = "A policy that bounds what roles may ever do; null for none"
  type        = string
  default     = null
}

variable "restore" {
  description = "Snapshots that store, queue and a single machine's data disk are made from. They matter only when these are made (runbooks/restore.md)"
  type        = object({ store = optional(string), queue = optional(string), disk = optional(string) })
  default     = {}
}

variable "interface_endpoints" {
  description = "Services of AWS that machines reach inside the network, such as ssm (modules/endpoints has the list). Each costs by the hour in each zone"
  type        = set(string)
  default     = []

  validation {
    condition     = var.existing_network == null || length(var.interface_endpoints) == 0
    error_message = "interface_endpoints are made in a network of the environment's own; an existing_network has its own endpoints, or none."
  }
}

variable "outbound_cidrs" {
  description = "Networks that machines reach by HTTPS and HTTP, for packages, images and the playbook. Others than all need interface_endpoints"
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = contains(var.outbound_cidrs, "0.0.0.0/0") || length(setsubtract(local.needed_endpoints, var.interface_endpoints)) == 0
    error_message = "Without 0.0.0.0/0 in outbound_cidrs, machines reach AWS's services by endpoints only: add to interface_endpoints ${join(", ", sort(setsubtract(local.needed_endpoints, var.interface_endpoints)))}."
  }
}
