variable "listener_arn" {
  description = "ARN of the listener"
  type        = string
}

variable "rules" {
  description = "By name: priority, conditions, service, and the target of the redirect to HTTPS"
  type = map(object({
    priority = number
    service  = string
    host     = optional(string)
    paths    = optional(list(string), [])
    rewrite  = optional(list(object({ regex = string, replace = string })), [])
    https    = optional(object({ host = string, path = string }))
  }))
}

variable "redirect_to_https" {
  description = "Redirect of requests to HTTPS, instead of forwarding"
  type        = bool
}

variable "release_weights" {
  description = "Share of the traffic, by release"
  type        = map(number)
}

variable "target_group_arns" {
  description = "ARNs of the target groups by service and release, such as vote-blue"
  type        = map(string)
}
