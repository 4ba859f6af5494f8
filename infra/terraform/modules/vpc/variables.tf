variable "name" {
  description = "What names of resources begin with, such as voting-app-dev"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}$", var.name))
    error_message = "name has 3 to 21 of a-z, 0-9 and hyphen, and begins with a letter."
  }
}

variable "cidr" {
  description = "The network's addresses. Each zone gets three subnets of a sixteenth of them"
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(cidrhost(var.cidr, 0) == split("/", var.cidr)[0], false)
    error_message = "cidr is a network such as 10.0.0.0/16, without host bits."
  }

  validation {
    condition     = try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr has a prefix of /16 to /22: AWS allows no larger network, and a smaller one is too small for three subnets a zone."
  }

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "cidr is private (RFC 1918): within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
  }
}

variable "zones" {
  description = "How many availability zones are used"
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3, 4], var.zones)
    error_message = "zones is 2, 3 or 4: a load balancer needs two at least, and the addresses are enough for four."
  }
}

variable "zone_names" {
  description = "The zones that are used, by name, such as us-east-1b; empty for the first ones of the region. Another choice makes subnets anew, and all that is in them"
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.zone_names) == 0 || (contains([2, 3, 4], length(var.zone_names)) && length(distinct(var.zone_names)) == length(var.zone_names))
    error_message = "zone_names are two to four different zones, such as [\"us-east-1b\", \"us-east-1c\"], or none."
  }
}

variable "excluded_zone_ids" {
  description = "Zones in which no subnet is made, by their ids, which are the same for every account"
  type        = list(string)
  # Those that MemoryDB does not serve, of the regions that it serves:
  # https://docs.aws.amazon.com/memorydb/latest/devguide/subnetgroups.html
  default = ["apne1-az3", "apne2-az4", "cac1-az3", "use1-az3"]

  validation {
    condition     = alltrue([for id in var.excluded_zone_ids : can(regex("^[a-z]+[0-9]+-az[0-9]+$", id))])
    error_message = "excluded_zone_ids are ids such as use1-az3: names such as us-east-1e are other zones in other accounts."
  }
}

variable "nat_gateways" {
  description = "How private subnets reach the internet: by no gateway, by one, or by one per zone"
  type        = string

  validation {
    condition     = contains(["none", "one", "per-zone"], var.nat_gateways)
    error_message = "nat_gateways is none, one or per-zone."
  }
}

variable "log_retention_days" {
  description = "How long flow logs are kept"
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days is one that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "permissions_boundary_arn" {
  description = "A policy that bounds what roles may ever do; null for none"
  type        = string
  default     = null
}
