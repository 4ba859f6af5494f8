variable "name" {
  description = "Prefix of the names of resources, such as voting-app-dev"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}$", var.name))
    error_message = "name must have 3 to 21 of a-z, 0-9 and hyphen, and begin with a letter."
  }
}

variable "cidr" {
  description = "Addresses of the network. Each zone gets three subnets of a sixteenth of them"
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(cidrhost(var.cidr, 0) == split("/", var.cidr)[0], false)
    error_message = "cidr must be a network such as 10.0.0.0/16, without host bits."
  }

  validation {
    condition     = try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr must have a prefix of /16 to /22: AWS allows no larger network, and a smaller one is too small for three subnets per zone."
  }

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "cidr must be private (RFC 1918): within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
  }
}

variable "zones" {
  description = "Number of availability zones"
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3, 4], var.zones)
    error_message = "zones must be 2, 3 or 4: a load balancer needs at least two, and the addresses are enough for four."
  }
}

variable "zone_names" {
  description = "Names of the zones to use, such as us-east-1b. Empty: the first ones of the region. A change replaces the subnets and everything in them"
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.zone_names) == 0 || (contains([2, 3, 4], length(var.zone_names)) && length(distinct(var.zone_names)) == length(var.zone_names))
    error_message = "zone_names must be two to four different zones, such as [\"us-east-1b\", \"us-east-1c\"], or none."
  }
}

variable "excluded_zone_ids" {
  description = "Ids of zones to leave out. Ids are the same for every account"
  type        = list(string)
  # Zones without MemoryDB, in the regions that have it:
  # https://docs.aws.amazon.com/memorydb/latest/devguide/subnetgroups.html
  default = ["apne1-az3", "apne2-az4", "cac1-az3", "use1-az3"]

  validation {
    condition     = alltrue([for id in var.excluded_zone_ids : can(regex("^[a-z]+[0-9]+-az[0-9]+$", id))])
    error_message = "excluded_zone_ids must be ids such as use1-az3: names such as us-east-1e denote different zones in different accounts."
  }
}

variable "nat_gateways" {
  description = "NAT gateways for the private subnets: none, one, or one per zone"
  type        = string

  validation {
    condition     = contains(["none", "one", "per-zone"], var.nat_gateways)
    error_message = "nat_gateways must be none, one or per-zone."
  }
}

variable "log_retention_days" {
  description = "Retention of flow logs, in days"
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days must be a value that CloudWatch supports: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles. null: none"
  type        = string
  default     = null
}
