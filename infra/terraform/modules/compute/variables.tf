variable "name" {
  description = "Name of the machines, such as voting-app-prod-front-blue"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,36}$", var.name))
    error_message = "name must have 3 to 37 of a-z, 0-9 and hyphen, and begin with a letter."
  }
}

variable "environment" {
  description = "Name of the environment, for the tags of Prometheus' service discovery"
  type        = string
}

variable "role" {
  description = "Role of the machines: front (vote and result), worker, everything (with queue and store, on a single machine) or monitoring"
  type        = string

  validation {
    condition     = contains(["front", "worker", "everything", "monitoring"], var.role)
    error_message = "role must be front, worker, everything or monitoring."
  }
}

variable "single_instance" {
  description = "One machine with a persistent data disk, instead of an auto scaling group"
  type        = bool
  default     = false

  validation {
    condition     = var.single_instance || !contains(["everything", "monitoring"], var.role)
    error_message = "everything and monitoring store data on their machine: set single_instance = true."
  }
}

variable "subnet_ids" {
  description = "Subnets of the machines; a single one is in the first"
  type        = list(string)

  validation {
    condition     = var.single_instance ? length(var.subnet_ids) >= 1 : length(var.subnet_ids) >= 2
    error_message = "subnet_ids must be at least two, each in another zone, so that one zone may fail; one is enough for a single machine."
  }
}

variable "zone" {
  description = "Zone of the first subnet, for a single machine's data disk"
  type        = string
  default     = null

  validation {
    condition     = !var.single_instance || var.zone != null
    error_message = "A single machine needs the zone of its data disk."
  }
}

variable "public_address" {
  description = "Public addresses for the machines, which subnets without a gateway need"
  type        = bool
  default     = false
}

variable "security_group_ids" {
  description = "Security groups of the machines"
  type        = list(string)
}

variable "target_group_arns" {
  description = "Target groups that the machines belong to, by service"
  type        = map(string)
  default     = {}
}

variable "architecture" {
  description = "Architecture of the processors: arm64 or amd64"
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "amd64"], var.architecture)
    error_message = "architecture must be arm64 or amd64, for which there are images."
  }
}

variable "instance_types" {
  description = "Instance types in order of preference; a single machine uses the first"
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0 && alltrue([for type in var.instance_types : can(regex("^[a-z]+[0-9]+[a-z-]*\\.(nano|micro|small|medium|x?large|[0-9]+xlarge|metal)$", type))])
    error_message = "instance_types must be EC2 types such as t4g.small; at least one."
  }

  validation {
    condition     = alltrue([for type in var.instance_types : can(regex("^[a-z]+[0-9]+g", type)) == (var.architecture == "arm64")])
    error_message = "instance_types must match the architecture: t4g, m7g, c7g and the like are arm64, all others amd64."
  }
}

variable "size" {
  description = "Number of machines in a group: minimum, desired, maximum"
  type        = object({ min = number, desired = number, max = number })
  default     = { min = 1, desired = 1, max = 1 }

  validation {
    condition     = var.size.min >= 0 && var.size.min <= var.size.desired && var.size.desired <= var.size.max && var.size.max >= 1 && var.size.max <= 100
    error_message = "size must be 0 <= min <= desired <= max, and max 1 to 100."
  }
}

variable "spot_percent" {
  description = "Percentage of spot instances beyond the first machine"
  type        = number
  default     = 0

  validation {
    condition     = var.spot_percent >= 0 && var.spot_percent <= 100
    error_message = "spot_percent must be 0 to 100."
  }
}

variable "cpu_target" {
  description = "Average CPU utilization in percent that the group scales to"
  type        = number
  default     = 50

  validation {
    condition     = var.cpu_target >= 10 && var.cpu_target <= 90
    error_message = "cpu_target must be 10 to 90."
  }
}

variable "requests_target" {
  description = "Requests per minute and machine that the group scales to, for the target group with this label"
  type        = object({ label = string, per_minute = number })
  default     = null
}

variable "drain_seconds" {
  description = "Time that a service continues to serve after SIGTERM"
  type        = number
  default     = 35

  validation {
    condition     = var.drain_seconds >= 0 && var.drain_seconds <= 600
    error_message = "drain_seconds must be 0 to 600."
  }
}

variable "boot_seconds" {
  description = "Maximum time from a machine's launch until its services are ready"
  type        = number
  default     = 600

  validation {
    condition     = var.boot_seconds >= 120 && var.boot_seconds <= 7200
    error_message = "boot_seconds must be 120 to 7200: machines install packages when they start."
  }
}

variable "root_volume_size" {
  description = "Size of the root disk in GB"
  type        = number
  default     = 16

  validation {
    condition     = var.root_volume_size >= 8 && var.root_volume_size <= 1024
    error_message = "root_volume_size must be 8 to 1024."
  }
}

variable "data_volume_size" {
  description = "Size of a single machine's data disk in GB"
  type        = number
  default     = 16

  validation {
    condition     = var.data_volume_size >= 8 && var.data_volume_size <= 4096
    error_message = "data_volume_size must be 8 to 4096."
  }
}

variable "snapshot_retention_days" {
  description = "Retention of the data disk's daily snapshots, in days"
  type        = number
  default     = 7

  validation {
    condition     = var.snapshot_retention_days >= 1 && var.snapshot_retention_days <= 365
    error_message = "snapshot_retention_days must be 1 to 365."
  }
}

variable "images" {
  description = "Published images: registry and path before /vote, /worker and /result, tag, and the parameter with USER:TOKEN for the registry (none: public images). Images in ECR need no pull_secret"
  type        = object({ registry = string, tag = string, pull_secret = optional(string) })
  default     = { registry = "", tag = "" }

  validation {
    condition     = var.role == "monitoring" || (can(regex("^[a-z0-9.:-]+(/[a-z0-9._-]+)+$", var.images.registry)) && can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.images.tag)))
    error_message = "images must have a registry with a path such as ghcr.io/example/voting-app, and a tag such as 1.0.0."
  }

  validation {
    condition     = var.images.tag != "latest"
    error_message = "The tag latest changes with every release and cannot be rolled back: set a version, such as 1.0.0."
  }
}

variable "settings" {
  description = "Parameter of the services' settings, and its version. A new version replaces the machines of a group"
  type        = object({ parameter = string, version = number })
  default     = null
}

variable "secrets" {
  description = "Secrets by destination: env:NAME for a line of secrets.env, registry:NAME for a login of Docker, or a file under secrets/. Each has its parameter or secret, and a template with {} for its value"
  type        = map(object({ from = string, template = optional(string, "{}") }))
  default     = {}

  validation {
    condition     = alltrue([for secret in values(var.secrets) : strcontains(secret.template, "{}") && !can(regex("\\s", secret.from))])
    error_message = "The template of a secret must have {} for its value."
  }
}

variable "store" {
  description = "Address and users of the store, if it is managed by AWS"
  type        = object({ address = string, port = number, database = string, admin = string, ca_url = string })
  default     = null
}

variable "playbook" {
  description = "Playbook of a monitoring machine: repository, branch or tag, and variables"
  type        = object({ repository = string, ref = string, variables = any })
  default     = null

  validation {
    condition     = (var.role == "monitoring") == (var.playbook != null)
    error_message = "A monitoring machine needs a playbook, and no other role may have one."
  }
}

variable "statements" {
  description = "Further permissions of the machines: statements of an IAM policy"
  type        = list(object({ actions = list(string), resources = list(string), condition = optional(map(map(list(string))), {}) }))
  default     = []

  validation {
    condition     = alltrue(flatten([for statement in var.statements : [for action in statement.actions : !endswith(action, ":*") && action != "*"]]))
    error_message = "statements must name each action: neither * nor service:*."
  }
}

variable "log_group" {
  description = "Log group of the machines and their services"
  type        = object({ name = string, arn = string })
}

variable "alarm_topic_arn" {
  description = "SNS topic for alarms about a single machine's recovery"
  type        = string
  default     = null
}

variable "home" {
  description = "Installation directory on the machines"
  type        = string
  default     = "/opt/voting-app"
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles. null: none"
  type        = string
  default     = null
}

variable "data_snapshot" {
  description = "Snapshot to create a single machine's data disk from. Used only when the disk is created"
  type        = string
  default     = null

  validation {
    condition     = var.data_snapshot == null || can(regex("^snap-[0-9a-f]+$", var.data_snapshot))
    error_message = "data_snapshot must be the id of a disk snapshot, such as snap-0123456789abcdef0."
  }
}
