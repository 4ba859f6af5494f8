variable "name" {
  description = "The machines' name, such as voting-app-prod-front-blue"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,36}$", var.name))
    error_message = "name has 3 to 37 of a-z, 0-9 and hyphen, and begins with a letter."
  }
}

variable "environment" {
  description = "The environment, for tags that Prometheus finds machines by"
  type        = string
}

variable "role" {
  description = "What runs on the machines: front (vote and result), worker, everything (with queue and store, on a single machine) or monitoring"
  type        = string

  validation {
    condition     = contains(["front", "worker", "everything", "monitoring"], var.role)
    error_message = "role is front, worker, everything or monitoring."
  }
}

variable "single" {
  description = "One machine that keeps its identity and its data disk, instead of a group that makes and replaces machines"
  type        = bool
  default     = false

  validation {
    condition     = var.single || !contains(["everything", "monitoring"], var.role)
    error_message = "everything and monitoring keep data on their machine: they must be single."
  }
}

variable "subnet_ids" {
  description = "Where machines are; a single one is in the first"
  type        = list(string)

  validation {
    condition     = var.single ? length(var.subnet_ids) >= 1 : length(var.subnet_ids) >= 2
    error_message = "subnet_ids are two at least, each in another zone, so that a zone may fail; one is enough for a single machine."
  }
}

variable "zone" {
  description = "The zone of the first subnet, where a single machine's data disk is"
  type        = string
  default     = null

  validation {
    condition     = !var.single || var.zone != null
    error_message = "A single machine needs the zone of its data disk."
  }
}

variable "public_address" {
  description = "Whether machines have public addresses, as they need in subnets without a gateway"
  type        = bool
  default     = false
}

variable "security_group_ids" {
  description = "The machines' security groups"
  type        = list(string)
}

variable "target_group_arns" {
  description = "The target groups that the machines serve, by service"
  type        = map(string)
  default     = {}
}

variable "architecture" {
  description = "The processors: arm64 or amd64"
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "amd64"], var.architecture)
    error_message = "architecture is arm64 or amd64, for which there are images."
  }
}

variable "instance_types" {
  description = "What machines may be, the best first; a single one is the first"
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0 && alltrue([for type in var.instance_types : can(regex("^[a-z]+[0-9]+[a-z-]*\\.(nano|micro|small|medium|x?large|[0-9]+xlarge|metal)$", type))])
    error_message = "instance_types are types of EC2 such as t4g.small; one at least."
  }

  validation {
    condition     = alltrue([for type in var.instance_types : can(regex("^[a-z]+[0-9]+g", type)) == (var.architecture == "arm64")])
    error_message = "instance_types do not fit the architecture: t4g, m7g, c7g and the like are arm64, all others amd64."
  }
}

variable "size" {
  description = "How many machines a group has: at least, to begin with, at most"
  type        = object({ min = number, desired = number, max = number })
  default     = { min = 1, desired = 1, max = 1 }

  validation {
    condition     = var.size.min >= 0 && var.size.min <= var.size.desired && var.size.desired <= var.size.max && var.size.max >= 1 && var.size.max <= 100
    error_message = "size must be 0 <= min <= desired <= max, and max 1 to 100."
  }
}

variable "spot_percent" {
  description = "How many of a hundred machines beyond the first are bought on the spot market"
  type        = number
  default     = 0

  validation {
    condition     = var.spot_percent >= 0 && var.spot_percent <= 100
    error_message = "spot_percent is 0 to 100."
  }
}

variable "cpu_target" {
  description = "The processors' load in percent that a group grows and shrinks for"
  type        = number
  default     = 50

  validation {
    condition     = var.cpu_target >= 10 && var.cpu_target <= 90
    error_message = "cpu_target is 10 to 90."
  }
}

variable "requests_target" {
  description = "Requests per minute and machine that a group grows and shrinks for, of the target group with this label"
  type        = object({ label = string, per_minute = number })
  default     = null
}

variable "drain_seconds" {
  description = "How long a service goes on serving after it was told to end"
  type        = number
  default     = 35

  validation {
    condition     = var.drain_seconds >= 0 && var.drain_seconds <= 600
    error_message = "drain_seconds is 0 to 600."
  }
}

variable "boot_seconds" {
  description = "How long a machine may take from its start until its services are ready"
  type        = number
  default     = 600

  validation {
    condition     = var.boot_seconds >= 120 && var.boot_seconds <= 7200
    error_message = "boot_seconds is 120 to 7200: machines install packages when they start."
  }
}

variable "root_gb" {
  description = "The system disk"
  type        = number
  default     = 16

  validation {
    condition     = var.root_gb >= 8 && var.root_gb <= 1024
    error_message = "root_gb is 8 to 1024."
  }
}

variable "data_gb" {
  description = "A single machine's data disk"
  type        = number
  default     = 16

  validation {
    condition     = var.data_gb >= 8 && var.data_gb <= 4096
    error_message = "data_gb is 8 to 4096."
  }
}

variable "snapshot_days" {
  description = "How many daily snapshots of the data disk are kept"
  type        = number
  default     = 7

  validation {
    condition     = var.snapshot_days >= 1 && var.snapshot_days <= 365
    error_message = "snapshot_days is 1 to 365."
  }
}

variable "images" {
  description = "Published images: registry and path before /vote, /worker and /result, tag, and the parameter that holds USER:TOKEN for the registry (none: public images). Images in ECR need no pull_secret"
  type        = object({ registry = string, tag = string, pull_secret = optional(string) })
  default     = { registry = "", tag = "" }

  validation {
    condition     = var.role == "monitoring" || (can(regex("^[a-z0-9.:-]+(/[a-z0-9._-]+)+$", var.images.registry)) && can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.images.tag)))
    error_message = "images are a registry with a path such as ghcr.io/example/voting-app, and a tag such as 1.0.0."
  }

  validation {
    condition     = var.images.tag != "latest"
    error_message = "The tag latest is another image every day, and there is no way back from it: name a version, such as 1.0.0."
  }
}

variable "settings" {
  description = "The parameter that holds the services' settings, and its version, which gets machines replaced when it changes"
  type        = object({ parameter = string, version = number })
  default     = null
}

variable "secrets" {
  description = "Where each secret goes, as env:NAME, a line of secrets.env, registry:NAME, a login of Docker, or a file under secrets/, which parameter or secret it is, and the text around it, with {} for it"
  type        = map(object({ from = string, template = optional(string, "{}") }))
  default     = {}

  validation {
    condition     = alltrue([for secret in values(var.secrets) : strcontains(secret.template, "{}") && !can(regex("\\s", secret.from))])
    error_message = "A secret's template has {} where the secret goes."
  }
}

variable "store" {
  description = "The store, where it is a service of AWS"
  type        = object({ address = string, port = number, database = string, admin = string, ca_url = string })
  default     = null
}

variable "playbook" {
  description = "What a monitoring machine runs: the repository, its branch or tag, and the playbook's variables"
  type        = object({ repository = string, ref = string, variables = any })
  default     = null

  validation {
    condition     = (var.role == "monitoring") == (var.playbook != null)
    error_message = "A monitoring machine needs a playbook, and no other has one."
  }
}

variable "statements" {
  description = "What else the machines may do: statements of an IAM policy"
  type        = list(object({ actions = list(string), resources = list(string), condition = optional(map(map(list(string))), {}) }))
  default     = []

  validation {
    condition     = alltrue(flatten([for statement in var.statements : [for action in statement.actions : !endswith(action, ":*") && action != "*"]]))
    error_message = "statements name each action: neither * nor service:*."
  }
}

variable "log_group" {
  description = "The log group of the machines and their services"
  type        = object({ name = string, arn = string })
}

variable "alarm_topic_arn" {
  description = "Who hears of a single machine that had to be recovered"
  type        = string
  default     = null
}

variable "home" {
  description = "Where everything of ours is on a machine"
  type        = string
  default     = "/opt/voting-app"
}

variable "permissions_boundary_arn" {
  description = "A policy that bounds what roles may ever do; null for none"
  type        = string
  default     = null
}

variable "data_snapshot" {
  description = "The snapshot that a single machine's data disk is made from. It matters only when the disk is made"
  type        = string
  default     = null

  validation {
    condition     = var.data_snapshot == null || can(regex("^snap-[0-9a-f]+$", var.data_snapshot))
    error_message = "data_snapshot is a snapshot of a disk, such as snap-0123456789abcdef0."
  }
}
