variable "zone_id" {
  description = "The Route 53 zone of the domain"
  type        = string

  validation {
    condition     = can(regex("^Z[A-Z0-9]{5,31}$", var.zone_id))
    error_message = "zone_id is the id of a Route 53 zone, such as Z0123456789ABC."
  }
}

variable "hosts" {
  description = "The pages' host names"
  type        = object({ vote = string, result = string })

  validation {
    condition     = alltrue([for host in values(var.hosts) : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", host))])
    error_message = "hosts are names such as vote.example.org."
  }
}

variable "alias" {
  description = "What answers under these names: a load balancer's or a delivery network's own name, and the zone of that"
  type        = object({ name = string, zone_id = string })
}
