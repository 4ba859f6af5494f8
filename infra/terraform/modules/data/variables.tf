variable "name" {
  description = "What names of resources begin with, such as voting-app-prod"
  type        = string
}

variable "subnet_ids" {
  description = "Subnets without a way out, in two zones at least"
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids are two at least, each in another zone."
  }
}

variable "store" {
  description = "Where votes are stored: rds, or self-hosted on the application's single machine"
  type        = string

  validation {
    condition     = contains(["self-hosted", "rds"], var.store)
    error_message = "store is self-hosted or rds."
  }
}

variable "queue" {
  description = "Where ballots wait: memorydb (every accepted vote is in two zones), elasticache (fails over faster, and may lose the last moment's votes), or self-hosted on the application's single machine"
  type        = string

  validation {
    condition     = contains(["self-hosted", "memorydb", "elasticache"], var.queue)
    error_message = "queue is self-hosted, memorydb or elasticache."
  }
}

variable "store_security_group_id" {
  description = "The store's security group"
  type        = string
}

variable "queue_security_group_id" {
  description = "The queue's security group"
  type        = string
}

variable "ports" {
  description = "Where store and queue listen"
  type        = object({ database = number, queue = number })
}

variable "store_class" {
  description = "The store's machine"
  type        = string
  default     = "db.t4g.small"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.(micro|small|medium|x?large|[0-9]+xlarge)$", var.store_class))
    error_message = "store_class is a class of RDS such as db.t4g.small."
  }
}

variable "store_gb" {
  description = "The store's disk; it grows by itself up to four times as much"
  type        = number
  default     = 20

  validation {
    condition     = var.store_gb >= 20 && var.store_gb <= 16384
    error_message = "store_gb is 20 to 16384, as gp3 disks of RDS are."
  }
}

variable "queue_class" {
  description = "The queue's machine, such as db.t4g.small for memorydb or cache.t4g.small for elasticache"
  type        = string
  default     = "db.t4g.small"

  validation {
    condition = (
      var.queue == "self-hosted" ||
      (var.queue == "memorydb" && can(regex("^db\\.(t4g|r[0-9]+gd?)\\.(small|medium|x?large|[0-9]+xlarge)$", var.queue_class))) ||
      (var.queue == "elasticache" && can(regex("^cache\\.[a-z0-9]+\\.(micro|small|medium|x?large|[0-9]+xlarge)$", var.queue_class)))
    )
    error_message = "queue_class is db.… such as db.t4g.small where queue is memorydb, and cache.… such as cache.t4g.small where it is elasticache."
  }
}

variable "highly_available" {
  description = "A standby of the store in another zone"
  type        = bool
  default     = false
}

variable "protected" {
  description = "Whether it cannot be deleted without being asked twice: deletion protection, and a last snapshot"
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "How long backups are kept"
  type        = number
  default     = 7

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days is 1 to 35."
  }
}

variable "log_retention_days" {
  description = "How long the store's logs are kept"
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days is one that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "queue_passwords" {
  description = "The passwords of the queue's users vote, worker and monitor"
  type        = object({ vote = string, worker = string, monitor = string })
  sensitive   = true
}

variable "store_snapshot" {
  description = "The snapshot that the store is made from. It matters only when the store is made"
  type        = string
  default     = null
}

variable "queue_snapshot" {
  description = "The snapshot that the queue is made from. It matters only when the queue is made"
  type        = string
  default     = null
}
