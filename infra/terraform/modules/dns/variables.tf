variable "zone_id" {
  description = "Route 53 zone of the domain"
  type        = string

  validation {
    condition     = can(regex("^Z[A-Z0-9]{5,31}$", var.zone_id))
    error_message = "zone_id must be the id of a Route 53 zone, such as Z0123456789ABC."
  }
}

variable "names" {
  description = "Host names of the certificate. Separate from records: a CDN needs this certificate's validation, and records need the CDN"
  type        = set(string)

  validation {
    condition     = length(var.names) > 0 && alltrue([for name in var.names : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", name))])
    error_message = "names must be host names such as vote.example.org; at least one."
  }
}

variable "records" {
  description = "Alias targets by host name: the DNS name of a load balancer or a CDN, and its hosted zone"
  type        = map(object({ name = string, zone_id = string }))

  validation {
    condition     = toset(keys(var.records)) == var.names
    error_message = "records must have an entry for each of names, and for no other."
  }
}
