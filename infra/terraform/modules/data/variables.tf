variable "name" {
  description = "Prefix of the names of resources, such as voting-app-prod"
  type        = string
}

variable "subnet_ids" {
  description = "Subnets without a route to the internet, in at least two zones"
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must be at least two, each in another zone."
  }
}

variable "store" {
  description = "Backend of the store: rds, or self-hosted on the application's single machine"
  type        = string

  validation {
    condition     = contains(["self-hosted", "rds"], var.store)
    error_message = "store must be self-hosted or rds."
  }
}

variable "queue" {
  description = "Backend of the queue: memorydb (every accepted vote is in two zones), elasticache (fails over faster, and may lose the last moment's votes), or self-hosted on the application's single machine"
  type        = string

  validation {
    condition     = contains(["self-hosted", "memorydb", "elasticache"], var.queue)
    error_message = "queue must be self-hosted, memorydb or elasticache."
  }
}

variable "store_security_group_id" {
  description = "Security group of the store"
  type        = string
}

variable "queue_security_group_id" {
  description = "Security group of the queue"
  type        = string
}

variable "ports" {
  description = "Ports of the store and the queue"
  type        = object({ database = number, queue = number })
}

variable "store_instance_class" {
  description = "Instance class of the store"
  type        = string
  default     = "db.t4g.small"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.(micro|small|medium|x?large|[0-9]+xlarge)$", var.store_instance_class))
    error_message = "store_instance_class must be an RDS class such as db.t4g.small."
  }
}

variable "store_allocated_storage" {
  description = "Size of the store's disk in GB; it grows automatically up to four times this size"
  type        = number
  default     = 20

  validation {
    condition     = var.store_allocated_storage >= 20 && var.store_allocated_storage <= 16384
    error_message = "store_allocated_storage must be 20 to 16384, the limits of gp3 disks of RDS."
  }
}

variable "queue_node_type" {
  description = "Node type of the queue, such as db.t4g.small for memorydb or cache.t4g.small for elasticache"
  type        = string
  default     = "db.t4g.small"

  validation {
    condition = (
      var.queue == "self-hosted" ||
      (var.queue == "memorydb" && can(regex("^db\\.(t4g|r[0-9]+gd?)\\.(small|medium|x?large|[0-9]+xlarge)$", var.queue_node_type))) ||
      (var.queue == "elasticache" && can(regex("^cache\\.[a-z0-9]+\\.(micro|small|medium|x?large|[0-9]+xlarge)$", var.queue_node_type)))
    )
    error_message = "queue_node_type must begin with db. for memorydb, such as db.t4g.small, and with cache. for elasticache, such as cache.t4g.small."
  }
}

variable "multi_az" {
  description = "Standby of the store in another zone"
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Deletion protection, and a final snapshot on deletion"
  type        = bool
  default     = true
}

variable "backup_retention_days" {
  description = "Retention of backups, in days"
  type        = number
  default     = 7

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days must be 1 to 35."
  }
}

variable "log_retention_days" {
  description = "Retention of the store's logs, in days"
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400], var.log_retention_days)
    error_message = "log_retention_days must be a value that CloudWatch supports: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400."
  }
}

variable "queue_passwords" {
  description = "Passwords of the queue's users vote, worker and monitor"
  type        = object({ vote = string, worker = string, monitor = string })
  sensitive   = true
}

variable "store_snapshot" {
  description = "Snapshot to create the store from. Used only when the store is created"
  type        = string
  default     = null
}

variable "queue_snapshot" {
  description = "Snapshot to create the queue from. Used only when the queue is created"
  type        = string
  default     = null
}
