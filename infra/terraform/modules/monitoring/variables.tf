variable "name" {
  description = "Prefix of the names of resources, such as voting-app-prod"
  type        = string
}

variable "environment" {
  description = "Name of the environment, for its tag in the cost filter"
  type        = string
}

variable "emails" {
  description = "Email addresses that receive alarms"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "emails must be addresses such as oncall@example.org."
  }
}

variable "log_retention_days" {
  description = "Retention of logs, in days"
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days must be a value that CloudWatch supports: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "budget_usd" {
  description = "Monthly budget of the environment. AWS notifies emails at 80 percent of it, and when the forecast exceeds it"
  type        = number

  validation {
    condition     = var.budget_usd >= 1
    error_message = "budget_usd must be 1 or more."
  }
}

variable "load_balancer" {
  description = "Load balancer and its target groups, by their names in metrics"
  type        = object({ name = string, target_groups = map(string) })
  default     = null
}

variable "groups" {
  description = "Auto scaling groups by name, each with its minimum number of machines"
  type        = map(number)
  default     = {}
}

variable "machines" {
  description = "Ids of single machines, by role"
  type        = map(string)
  default     = {}
}

variable "store" {
  description = "Identifier of the store and size of its disk, if it is managed by AWS"
  type        = object({ identifier = string, allocated_storage = number })
  default     = null
}

variable "queue" {
  description = "Kind and identifier of the queue, if it is managed by AWS"
  type        = object({ kind = string, identifier = string })
  default     = null

  validation {
    condition     = var.queue == null || contains(["memorydb", "elasticache"], try(var.queue.kind, ""))
    error_message = "The queue's kind must be memorydb or elasticache."
  }
}

variable "host" {
  description = "Machine of Prometheus and Grafana. null: none"
  type = object({
    subnet_ids         = list(string)
    zone               = string
    public_address     = bool
    security_group_ids = list(string)
    instance_type      = string
    architecture       = string
    playbook           = object({ repository = string, ref = string, variables = any })
    secrets            = map(object({ from = string, template = string }))
    store              = optional(object({ address = string, port = number, database = string, admin = string, ca_url = string }))
    statements         = list(object({ actions = list(string), resources = list(string), condition = optional(map(map(list(string))), {}) }))
  })
  default = null
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles. null: none"
  type        = string
  default     = null
}
