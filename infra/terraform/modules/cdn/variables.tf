variable "name" {
  description = "What names of resources begin with, such as voting-app-prod"
  type        = string
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
