variable "name" {
  description = "What names of resources begin with, such as voting-app-prod"
  type        = string

  validation {
    condition     = length(var.name) <= 19
    error_message = "name has 19 characters at most: AWS allows 32 for a target group, which is name-result-green."
  }
}

variable "vpc_id" {
  description = "The network of the targets"
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets, in two zones at least"
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids are two at least, each in another zone."
  }
}

variable "security_group_id" {
  description = "The load balancer's security group"
  type        = string
}

variable "services" {
  description = "The two pages: where they listen and what tells that they are ready"
  type = object({
    vote   = object({ port = number, health_path = string })
    result = object({ port = number, health_path = string })
  })

  validation {
    condition     = alltrue([for service in values(var.services) : startswith(service.health_path, "/")])
    error_message = "A health_path begins with a slash, such as /ready."
  }
}

variable "release_weights" {
  description = "The releases that run, blue, green or both, each with its share of the traffic"
  type        = map(number)
  default     = { blue = 100 }

  validation {
    condition     = length(var.release_weights) > 0 && alltrue([for release in keys(var.release_weights) : contains(["blue", "green"], release)])
    error_message = "release_weights has blue, green or both."
  }

  validation {
    condition     = alltrue([for weight in values(var.release_weights) : weight >= 0 && weight <= 999]) && sum(concat([0], values(var.release_weights))) > 0
    error_message = "A weight is 0 to 999, and one at least is more than 0."
  }
}

variable "https" {
  description = "Whether pages come by HTTPS, and HTTP leads there"
  type        = bool
  default     = false
}

variable "certificate_arn" {
  description = "The certificate for HTTPS"
  type        = string
  default     = null

  validation {
    condition     = !var.https || var.certificate_arn != null
    error_message = "https needs a certificate: set certificate_arn, or a domain for which one is made."
  }
}

variable "hosts" {
  description = "The pages' host names. Without them the result is shown at /result, under the load balancer's own name"
  type        = object({ vote = string, result = string })
  default     = null

  validation {
    condition     = var.hosts == null || try(var.hosts.vote != var.hosts.result, false)
    error_message = "hosts are two different names."
  }
}

variable "drain_seconds" {
  description = "How long a service goes on serving after it was told to end"
  type        = number

  validation {
    condition     = var.drain_seconds >= 35 && var.drain_seconds <= 600
    error_message = "drain_seconds is 35 to 600: the load balancer needs 30 s to notice that a target is not ready."
  }
}

variable "protected" {
  description = "Whether it cannot be deleted without being asked twice, and its logs not with it"
  type        = bool
  default     = true
}

variable "log_days" {
  description = "How long access logs are kept"
  type        = number
  default     = 30

  validation {
    condition     = var.log_days >= 1 && var.log_days <= 3650
    error_message = "log_days is 1 to 3650."
  }
}
