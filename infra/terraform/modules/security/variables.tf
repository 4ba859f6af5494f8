variable "name" {
  description = "What names of resources begin with, such as voting-app-dev"
  type        = string
}

variable "vpc_id" {
  description = "The network that the groups belong to"
  type        = string
}

variable "ports" {
  description = "Where everything listens"
  type = object({
    vote              = number
    result            = number
    worker            = number
    vote_management   = number
    result_management = number
    queue             = number
    database          = number
    grafana           = number
    prometheus        = number
    node_exporter     = number
    redis_exporter    = number
    postgres_exporter = number
    cadvisor          = number
  })

  validation {
    condition     = alltrue([for port in values(var.ports) : port > 0 && port < 65536 && floor(port) == port])
    error_message = "Each of ports is a whole number from 1 to 65535."
  }

  validation {
    condition     = length(distinct(values(var.ports))) == length(values(var.ports))
    error_message = "No two of ports may be the same: they may be on one machine."
  }
}

variable "load_balancer" {
  description = "Whether the world comes by a load balancer. Without one it reaches the two pages' ports"
  type        = bool
}

variable "direct" {
  description = "Whether the two pages' ports are open to the world beside the load balancer"
  type        = bool
  default     = false
}

variable "self_hosted_data" {
  description = "Whether queue and store run on the services' machine, with their exporters, instead of being services of AWS"
  type        = bool
  default     = false
}

variable "public_cidrs" {
  description = "Who may vote and see the result"
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.public_cidrs) > 0 && alltrue([for cidr in var.public_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "public_cidrs are IPv4 networks such as 0.0.0.0/0 for everybody or 203.0.113.0/24 for an office; at least one."
  }
}

variable "public_prefix_list_id" {
  description = "The prefix list of a content delivery network. If it is given, the load balancer listens to it alone"
  type        = string
  default     = null
}

variable "admin_cidrs" {
  description = "From where Grafana and Prometheus are reached. Empty: only through Session Manager"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "admin_cidrs are IPv4 networks such as 203.0.113.7/32."
  }

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "admin_cidrs name who administers, not the world: a network of /16 or smaller, such as 203.0.113.7/32; 0.0.0.0/0 is refused."
  }
}

variable "adopted_groups" {
  description = "Groups that were there before and are imported: their names and descriptions, as AWS has them"
  type        = map(object({ name = string, description = string }))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.adopted_groups), ["load_balancer", "front", "worker", "monitoring", "queue", "database"])) == 0
    error_message = "adopted_groups are some of load_balancer, front, worker, monitoring, queue and database, each with its name and description."
  }
}

variable "endpoints" {
  description = "Whether AWS's services have interface endpoints in the network, which machines then reach"
  type        = bool
  default     = false
}

variable "s3_prefix_list_id" {
  description = "Prefix list of S3's gateway endpoint. null only without endpoints"
  type        = string
  default     = null
}

variable "outbound_cidrs" {
  description = "Networks that machines reach by HTTPS and HTTP, besides AWS's services at their endpoints"
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for cidr in var.outbound_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "outbound_cidrs are IPv4 networks such as 151.101.0.0/16, or 0.0.0.0/0 for all."
  }

  validation {
    condition     = length(var.outbound_cidrs) <= 25
    error_message = "outbound_cidrs are 25 at most: each is two rules of a security group, which has room for 60 in each direction."
  }
}
