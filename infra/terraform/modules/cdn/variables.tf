variable "name" {
  description = "What names of resources begin with, such as voting-app-prod"
  type        = string
}

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
}

variable "origin" {
  description = "The load balancer, under a name that its certificate is for"
  type        = string
}

variable "price_class" {
  description = "Where in the world it answers: PriceClass_100, PriceClass_200 (with Asia) or PriceClass_All"
  type        = string
  default     = "PriceClass_200"

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "price_class is PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}
