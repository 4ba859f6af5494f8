variable "name" {
  description = "What names of resources begin with, such as voting-app-prod"
  type        = string
}

variable "load_balancer_arn" {
  description = "What is protected"
  type        = string
}

variable "requests_per_address" {
  description = "Requests from one address in five minutes; beyond, it is shut out for as long as it goes on"
  type        = number
  default     = 10000

  validation {
    condition     = var.requests_per_address >= 100 && var.requests_per_address <= 2000000000
    error_message = "requests_per_address is 100 or more. Offices and schools share one address: better thousands."
  }
}

variable "address_header" {
  description = "The header in which a delivery network in front says the visitor's address, whatever the visitor has sent in it; null: there is none in front"
  type        = string
  default     = null

  validation {
    condition     = try(lower(var.address_header), "") != "x-forwarded-for"
    error_message = "address_header is not X-Forwarded-For: the firewall looks at the first address in it, which the visitor writes."
  }
}

variable "log_retention_days" {
  description = "How long it is known who was turned away"
  type        = number
  default     = 30
}
