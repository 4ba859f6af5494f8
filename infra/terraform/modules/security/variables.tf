variable "name" {
  description = "Prefix of the names of resources, such as voting-app-dev"
  type        = string
}

variable "vpc_id" {
  description = "VPC of the groups"
  type        = string
}

variable "ports" {
  description = "Ports of all services"
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
    error_message = "Each of ports must be a whole number from 1 to 65535."
  }

  validation {
    condition     = length(distinct(values(var.ports))) == length(values(var.ports))
    error_message = "All ports must be different: the services may be on one machine."
  }
}

variable "load_balancer" {
  description = "Public access through a load balancer. false: public access to the ports of the two pages"
  type        = bool
}

variable "direct_access" {
  description = "Public access to the ports of the two pages in addition to the load balancer"
  type        = bool
  default     = false
}

variable "self_hosted_data" {
  description = "Queue, store and their exporters on the services' machine, instead of AWS services"
  type        = bool
  default     = false
}

variable "public_cidrs" {
  description = "Networks that reach the voting page and the result page"
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.public_cidrs) > 0 && alltrue([for cidr in var.public_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "public_cidrs must be IPv4 networks such as 0.0.0.0/0 for all or 203.0.113.0/24 for an office; at least one."
  }
}

variable "public_prefix_list_id" {
  description = "Prefix list of a CDN. If it is set, the load balancer accepts connections only from there"
  type        = string
  default     = null
}

variable "admin_cidrs" {
  description = "Networks that reach Grafana and Prometheus directly. Empty: access through Session Manager only"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "admin_cidrs must be IPv4 networks such as 203.0.113.7/32."
  }

  validation {
    condition     = alltrue([for cidr in var.admin_cidrs : try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "admin_cidrs must be networks of /16 or smaller, such as 203.0.113.7/32: Grafana and Prometheus may not be public."
  }
}

variable "adopted_groups" {
  description = "Names and descriptions, as AWS has them, of existing security groups to import"
  type        = map(object({ name = string, description = string }))
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.adopted_groups), ["load_balancer", "front", "worker", "monitoring", "queue", "database"])) == 0
    error_message = "adopted_groups must be some of load_balancer, front, worker, monitoring, queue and database, each with its name and description."
  }
}

variable "endpoints" {
  description = "Interface endpoints of AWS services in the network, which machines then reach"
  type        = bool
  default     = false
}

variable "s3_prefix_list_id" {
  description = "Prefix list of S3's gateway endpoint. null only without endpoints"
  type        = string
  default     = null
}

variable "outbound_cidrs" {
  description = "Networks that machines reach by HTTPS and HTTP, in addition to AWS services at their endpoints"
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for cidr in var.outbound_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "outbound_cidrs must be IPv4 networks such as 151.101.0.0/16, or 0.0.0.0/0 for all."
  }

  validation {
    condition     = length(var.outbound_cidrs) <= 25
    error_message = "outbound_cidrs must be 25 at most: each is two rules of a security group, which may have 60 in each direction."
  }
}
