variable "name" {
  description = "Prefix of the names of resources, such as voting-app-prod"
  type        = string
}

variable "load_balancer_arn" {
  description = "ARN of the load balancer to protect"
  type        = string
}

variable "requests_per_address" {
  description = "Maximum number of requests from one address in five minutes. An address above it is blocked until its rate falls"
  type        = number
  default     = 10000

  validation {
    condition     = var.requests_per_address >= 100 && var.requests_per_address <= 2000000000
    error_message = "requests_per_address must be 100 or more. Offices and schools share one address: thousands are better."
  }
}

variable "address_header" {
  description = "Header in which a CDN sends the client's address, overwriting any value from the client. null: no CDN in front"
  type        = string
  default     = null

  validation {
    condition     = try(lower(var.address_header), "") != "x-forwarded-for"
    error_message = "address_header must not be X-Forwarded-For: the WAF reads the first address in it, which the client can choose."
  }
}

variable "log_retention_days" {
  description = "Retention of the WAF's logs, in days"
  type        = number
  default     = 30
}
