# Variables of every environment, each of which links to this file. What differs between environments is in their main.tf.

variable "region" {
  description = "AWS region"
  type        = string
  default     = "ap-northeast-2"

  validation {
    condition     = can(regex("^[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]$", var.region))
    error_message = "region must be an AWS region such as ap-northeast-2."
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
  description = "Names of the zones to use. Empty: the first ones of the region. A change replaces all subnets"
  type        = list(string)
  default     = []
}

variable "existing_network" {
  description = "Existing network to use instead of creating one: its id and addresses, and by zone the ids of its subnets (runbooks/adopt.md)"
  type = object({
    vpc_id = string
    cidr   = string
    zones  = map(object({ public = string, private = optional(string), data = optional(string) }))
  })
  default = null
}

variable "adopted_groups" {
  description = "Names and descriptions, as AWS has them, of existing security groups to import (runbooks/adopt.md)"
  type        = map(object({ name = string, description = string }))
  default     = {}
}

variable "admin_cidrs" {
  description = "Networks that reach Grafana and Prometheus directly. Empty: access through Session Manager only"
  type        = list(string)
  default     = []
}

variable "public_cidrs" {
  description = "Networks that reach the voting page and the result page"
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "interface_endpoints" {
  description = "AWS services that machines reach inside the network, such as ssm. Each is billed by the hour in each zone"
  type        = set(string)
  default     = []
}

variable "outbound_cidrs" {
  description = "Networks that machines reach by HTTPS and HTTP, for packages, images and the playbook. Other values than 0.0.0.0/0 need interface_endpoints"
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "enable_alb" {
  description = "Load balancer in front of the machines. null: the environment's own default, which is false in dev and true elsewhere"
  type        = bool
  default     = null
}

variable "domain" {
  description = "Host names of the pages, and their Route 53 zone"
  type        = object({ zone_id = string, vote = string, result = string })
  default     = null
}

variable "https" {
  description = "HTTPS for the pages, with a redirect from HTTP"
  type        = bool
  default     = false
}

variable "allow_plain_http" {
  description = "Allows prod to run without HTTPS. Anyone on the network path can then read and change votes"
  type        = bool
  default     = false
}

variable "certificate_arn" {
  description = "Existing certificate in ACM. null: one is created for domain"
  type        = string
  default     = null
}

variable "enable_cdn" {
  description = "CloudFront in front of the load balancer"
  type        = bool
  default     = false
}

variable "cdn_only" {
  description = "Restriction of the load balancer to requests from CloudFront. To be set hours after enable_cdn"
  type        = bool
  default     = false
}

variable "direct_access" {
  description = "Access to a single machine's own ports in addition to the load balancer"
  type        = bool
  default     = true
}

variable "service_settings" {
  description = "Settings of the services, as in the README's table"
  type        = map(string)
  default     = {}
}

variable "emails" {
  description = "Email addresses that receive alarms"
  type        = list(string)
  default     = []
}

variable "monitoring_urls" {
  description = "URLs of Prometheus, Alertmanager and Grafana for browsers, and of the folder of runbooks, for links in notifications. Null: localhost, for a tunnel of Session Manager, and the repository's own runbooks"
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
  description = "Snapshots to create the store, the queue and a single machine's data disk from. Used only when these are created (runbooks/restore.md)"
  type        = object({ store = optional(string), queue = optional(string), disk = optional(string) })
  default     = {}
}
