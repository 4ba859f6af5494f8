variable "zone_id" {
  description = "The Route 53 zone of the domain"
  type        = string

  validation {
    condition     = can(regex("^Z[A-Z0-9]{5,31}$", var.zone_id))
    error_message = "zone_id is the id of a Route 53 zone, such as Z0123456789ABC."
  }
}

variable "records" {
  description = "The names, each with what answers under it: a load balancer's or a delivery network's own name, and the zone of that"
  type        = map(object({ name = string, zone_id = string }))

  validation {
    condition     = length(var.records) > 0 && alltrue([for host in keys(var.records) : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", host))])
    error_message = "records have names such as vote.example.org; one at least."
  }
}
