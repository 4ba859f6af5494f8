variable "name" {
  description = "Prefix of the names of resources, such as voting-app-prod"
  type        = string
}

variable "hosts" {
  description = "Host names of the pages"
  type        = object({ vote = string, result = string })
}

variable "origin" {
  description = "Host name of the load balancer that its certificate covers"
  type        = string
}

variable "price_class" {
  description = "Price class of the distribution: PriceClass_100, PriceClass_200 (with Asia) or PriceClass_All"
  type        = string
  default     = "PriceClass_200"

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "price_class must be PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}
