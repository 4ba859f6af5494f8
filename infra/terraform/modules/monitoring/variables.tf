variable "name" {
  description = "What names of resources begin with, such as voting-app-prod"
  type        = string
}

variable "environment" {
  description = "The environment, which costs are told apart by"
  type        = string
}

variable "emails" {
  description = "Who hears of alarms"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "emails are addresses such as oncall@example.org."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept"
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days is one that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "budget_usd" {
  description = "What the environment may cost a month; at four fifths, and when it is going to be more, somebody hears of it"
  type        = number

  validation {
    condition     = var.budget_usd >= 1
    error_message = "budget_usd is 1 or more."
  }
}

variable "load_balancer" {
  description = "The load balancer and its target groups, by their names in metrics"
  type        = object({ name = string, target_groups = map(string) })
  default     = null
}

variable "groups" {
  description = "The groups of machines by name, each with how many there should be at least"
  type        = map(number)
  default     = {}
}

variable "machines" {
  description = "Single machines: what they are, and their ids"
  type        = map(string)
  default     = {}
}

variable "store" {
  description = "The store's identifier, where it is a service of AWS, and its disk"
  type        = object({ identifier = string, gb = number })
  default     = null
}

variable "queue" {
  description = "The queue's kind and identifier, where it is a service of AWS"
  type        = object({ kind = string, identifier = string })
  default     = null

  validation {
    condition     = var.queue == null || contains(["memorydb", "elasticache"], try(var.queue.kind, ""))
    error_message = "The queue's kind is memorydb or elasticache."
  }
}

variable "host" {
  description = "The machine of Prometheus and Grafana, or null for none"
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
  description = "A policy that bounds what roles may ever do; null for none"
  type        = string
  default     = null
}
