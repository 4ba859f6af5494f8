# What differs between those who use this. What makes the environment what it is stands in main.tf.

variable "region" {
  description = "The region"
  type        = string
  default     = "ap-northeast-2"

  validation {
    condition     = can(regex("^[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]$", var.region))
    error_message = "region is a region of AWS such as ap-northeast-2."
  }
}

variable "zone_names" {
  description = "The zones that are used, by name; empty for the first ones of the region. Another choice makes all subnets anew"
  type        = list(string)
  default     = []
}

variable "existing_network" {
  description = "A network that exists already, instead of one of our own: its id and addresses, and by zone the ids of its subnets (runbooks/adopt.md)"
  type = object({
    vpc_id = string
    cidr   = string
    zones  = map(object({ public = string, private = optional(string), data = optional(string) }))
  })
  default = null
}

variable "adopted_groups" {
  description = "Security groups that were there before and are imported: their names and descriptions, as AWS has them (runbooks/adopt.md)"
  type        = map(object({ name = string, description = string }))
  default     = {}
}

variable "image_registry" {
  description = "Where the images are: the path before /vote, /worker and /result"
  type        = string
}

variable "releases" {
  description = "The releases that run, blue, green or both: the images' tag, the share of the traffic, and how many machines"
  type = map(object({
    tag    = string
    weight = optional(number, 100)
    size   = optional(object({ min = number, desired = number, max = number }), { min = 1, desired = 1, max = 2 })
  }))
}

variable "repository" {
  description = "Where the monitoring machine gets its playbook from, and the branch or tag; null for no such machine"
  type        = object({ url = string, ref = string })
  default     = null
}

variable "admin_cidrs" {
  description = "From where Grafana and Prometheus are reached. Empty: only through Session Manager"
  type        = list(string)
  default     = []
}

variable "public_cidrs" {
  description = "Who may vote and see the result"
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "enable_alb" {
  description = "Whether the world comes by a load balancer"
  type        = bool
  default     = true
}

variable "domain" {
  description = "Host names for the pages, and the Route 53 zone that they are in"
  type        = object({ zone_id = string, vote = string, result = string })
  default     = null
}

variable "https" {
  description = "Whether pages come by HTTPS, and HTTP leads there"
  type        = bool
  default     = false
}

variable "allow_plain_http" {
  description = "Whether prod may do without HTTPS: whoever is between a voter and the page can then read the vote and change it"
  type        = bool
  default     = false
}

variable "certificate_arn" {
  description = "A certificate that exists already"
  type        = string
  default     = null
}

variable "enable_cdn" {
  description = "Whether CloudFront is in front of the load balancer"
  type        = bool
  default     = false
}

variable "cdn_only" {
  description = "Whether the load balancer listens to CloudFront alone: hours after enable_cdn"
  type        = bool
  default     = false
}

variable "direct_access" {
  description = "Whether a single machine's own ports stay open beside the load balancer"
  type        = bool
  default     = true
}

variable "poll" {
  description = "The services' settings, as in the README's table"
  type        = map(string)
  default     = {}
}

variable "emails" {
  description = "Who hears of alarms"
  type        = list(string)
  default     = []
}

variable "permissions_boundary_arn" {
  description = "What bounds the environment's roles: terraform output permissions_boundaries of backend-setup, where workflows apply"
  type        = string
  default     = null
}

variable "restore" {
  description = "Snapshots that store, queue and a single machine's data disk are made from, when they are made (runbooks/restore.md)"
  type        = object({ store = optional(string), queue = optional(string), disk = optional(string) })
  default     = {}
}
