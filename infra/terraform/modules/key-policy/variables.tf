variable "services" {
  description = "AWS services that encrypt and decrypt with the key for this account, such as cloudwatch.amazonaws.com"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for service in var.services : can(regex("^[a-z0-9.-]+\\.amazonaws\\.com(\\.cn)?$", service))])
    error_message = "services must be names of services such as cloudwatch.amazonaws.com."
  }
}
