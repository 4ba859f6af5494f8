# Variables of every environment, each of which links to this file. What differs between environments stands in their main.tf.

variable "region" {
  description = "Region of AWS"
  type        = string
  default     = "ap-northeast-2"

  validation {
    condition     = can(regex("^[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]$", var.region))
    error_message = "region is a region of AWS such as ap-northeast-2."
  }
}

variable "image_registry" {
  description = "Registry and path of the images, before /vote, /worker and /result"
  type        = string
}

variable "releases" {
  description = "Releases that run (blue, green or both): tag of the images, share of the traffic, number of machines. Without size, the environment's own"
  type = map(object({
    tag    = string
    weight = optional(number, 100)
    size   = optional(object({ min = number, desired = number, max = number }))
  }))
}

variable "repository" {
  description = "Git repository of the monitoring machine's playbook, and its branch or tag. null: no such machine"
  type        = object({ url = string, ref = string })
  default     = null
}

variable "zone_names" {
  description = "Names of the zones to use. Empty: the first ones of the region. Another choice makes all subnets anew"
  type        = list(string)
  default     = []
}

variable "existing_network" {
  description = "Existing network in place of one of the environment's own: its id and addresses, and by zone the ids of its subnets (runbooks/adopt.md)"
  type = object({
    vpc_id = string
    cidr   = string
    zones  = map(object({ public = string, private = optional(string), data = optional(string) }))
  })
  default = null
}

variable "adopted_groups" {
  description = "Names and descriptions, as AWS has them, of security groups that were there before and are imported (runbooks/adopt.md)"
  type        = map(object({ name = string, description = string }))
  default     = {}
}

variable "admin_cidrs" {
  description = "Networks that reach Grafana and Prometheus directly. Empty: only through Session Manager"
  type        = list(string)
  default     = []
}

variable "public_cidrs" {
  description = "Networks that reach the voting page and the result page"
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "interface_endpoints" {
  description = "Services of AWS that machines reach inside the network, such as ssm. Each costs by the hour in each zone"
  type        = set(string)
  default     = []
}

variable "outbound_cidrs" {
  description = "Networks that machines reach by HTTPS and HTTP, for packages, images and the playbook. Others than all need interface_endpoints"
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "enable_alb" {
  description = "Load balancer in front of the machines. null: the environment's own default, which is false in dev and true elsewhere"
  type        = bool
  default     = null
}

variable "domain" {
  description = "Host names of the pages, and the Route 53 zone that they are in"
  type        = object({ zone_id = string, vote = string, result = string })
  default     = null
}

variable "https" {
  description = "HTTPS for the pages, with a redirect from HTTP"
  type        = bool
  default     = false
}

variable "allow_plain_http" {
  description = "Permission for prod to do without HTTPS. Anyone on the network path can then read and change votes"
  type        = bool
  default     = false
}

variable "certificate_arn" {
  description = "Existing certificate in ACM. null: one is made for domain"
  type        = string
  default     = null
}

variable "enable_cdn" {
  description = "CloudFront in front of the load balancer"
  type        = bool
  default     = false
}

variable "cdn_only" {
  description = "Restriction of the load balancer to CloudFront. To be set hours after enable_cdn"
  type        = bool
  default     = false
}

variable "direct_access" {
  description = "Access to a single machine's own ports beside the load balancer"
  type        = bool
  default     = true
}

variable "poll" {
  description = "Settings of the services, as in the README's table"
  type        = map(string)
  default     = {}
}

variable "emails" {
  description = "Addresses that alarms are mailed to"
  type        = list(string)
  default     = []
}

variable "monitoring_urls" {
  description = "Prometheus, Alertmanager and Grafana as browsers reach them, and the folder of runbooks, for links in notifications. Null: localhost, by a tunnel of Session Manager, and the repository's own runbooks"
  type = object({
    prometheus   = optional(string)
    alertmanager = optional(string)
    grafana      = optional(string)
    runbooks     = optional(string)
  })
  default  = {}
  nullable = false
}

variable "pagerduty_url" {
  description = "PagerDuty's API, such as https://events.eu.pagerduty.com/v2/enqueue for accounts in the EU. Null: https://events.pagerduty.com/v2/enqueue"
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the environment's roles, needed where workflows apply: output permissions_boundaries of backend-setup"
  type        = string
  default     = null
}

variable "restore" {
  description = "Snapshots that store, queue and a single machine's data disk are made from, when they are made (runbooks/restore.md)"
  type        = object({ store = optional(string), queue = optional(string), disk = optional(string) })
  default     = {}
}
