variable "listener_arn" {
  description = "The listener"
  type        = string
}

variable "rules" {
  description = "By name: the priority, what a request is known by, the service that it is for, and where it is found by HTTPS"
  type = map(object({
    priority = number
    service  = string
    host     = optional(string)
    paths    = optional(list(string), [])
    rewrite  = optional(list(object({ regex = string, replace = string })), [])
    https    = optional(object({ host = string, path = string }))
  }))
}

variable "leads_to_https" {
  description = "Whether requests are sent to HTTPS, instead of being served"
  type        = bool
}

variable "release_weights" {
  description = "The share of the traffic that each release has"
  type        = map(number)
}

variable "target_group_arns" {
  description = "By service and release, such as vote-blue"
  type        = map(string)
}
