variable "name" {
  description = "Prefix of the names of resources, such as voting-app-prod"
  type        = string

  validation {
    condition     = length(var.name) <= 19
    error_message = "name must have 19 characters at most: AWS allows 32 for a target group, which is name-result-green."
  }
}

variable "vpc_id" {
  description = "VPC of the targets"
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets, in at least two zones"
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must be at least two, each in another zone."
  }
}

variable "security_group_id" {
  description = "Security group of the load balancer"
  type        = string
}

variable "services" {
  description = "Port and readiness path of the two services"
  type = object({
    vote   = object({ port = number, health_path = string })
    result = object({ port = number, health_path = string })
  })

  validation {
    condition     = alltrue([for service in values(var.services) : startswith(service.health_path, "/")])
    error_message = "A health_path must begin with a slash, such as /ready."
  }
}

variable "release_weights" {
  description = "Releases that run (blue, green or both), each with its share of the traffic"
  type        = map(number)
  default     = { blue = 100 }

  validation {
    condition     = length(var.release_weights) > 0 && alltrue([for release in keys(var.release_weights) : contains(["blue", "green"], release)])
    error_message = "release_weights must have blue, green or both."
  }

  validation {
    condition     = alltrue([for weight in values(var.release_weights) : weight >= 0 && weight <= 999]) && sum(concat([0], values(var.release_weights))) > 0
    error_message = "A weight must be 0 to 999, and at least one must be more than 0."
  }
}

variable "https" {
  description = "HTTPS for the pages, with a redirect from HTTP"
  type        = bool
  default     = false
}

variable "certificate_arn" {
  description = "ARN of the certificate for HTTPS"
  type        = string
  default     = null

  validation {
    condition     = !var.https || var.certificate_arn != null
    error_message = "https needs a certificate: set certificate_arn, or a domain for which one is created."
  }
}

variable "hosts" {
  description = "Host names of the pages. null: the load balancer's own name for both, with the result page at /result"
  type        = object({ vote = string, result = string })
  default     = null

  validation {
    condition     = var.hosts == null || try(var.hosts.vote != var.hosts.result, false)
    error_message = "hosts must be two different names."
  }
}

variable "drain_seconds" {
  description = "Time that a service continues to serve after SIGTERM"
  type        = number

  validation {
    condition     = var.drain_seconds >= 35 && var.drain_seconds <= 600
    error_message = "drain_seconds must be 35 to 600: the load balancer needs 30 s to notice that a target is not ready."
  }
}

variable "deletion_protection" {
  description = "Deletion protection of the load balancer and its logs"
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Retention of access logs, in days"
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 1 && var.log_retention_days <= 3650
    error_message = "log_retention_days must be 1 to 3650."
  }
}
