variable "zone_id" {
  description = "The Route 53 zone of the domain"
  type        = string

  validation {
    condition     = can(regex("^Z[A-Z0-9]{5,31}$", var.zone_id))
    error_message = "zone_id is the id of a Route 53 zone, such as Z0123456789ABC."
  }
}

variable "names" {
  description = "The names that the certificate is for. Apart from records: a delivery network waits for this certificate's proof, and records for the network"
  type        = set(string)

  validation {
    condition     = length(var.names) > 0 && alltrue([for name in var.names : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", name))])
    error_message = "names are host names such as vote.example.org; one at least."
  }
}

variable "records" {
  description = "What answers under each of the names: a load balancer's or a delivery network's own name, and the zone of that"
  type        = map(object({ name = string, zone_id = string }))

  validation {
    condition     = toset(keys(var.records)) == var.names
    error_message = "records say for each of names, and for no other, where it leads."
  }
}
