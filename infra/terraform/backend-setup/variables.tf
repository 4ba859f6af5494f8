variable "region" {
  description = "Region of the state"
  type        = string
  default     = "ap-northeast-2"

  validation {
    condition     = can(regex("^[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]$", var.region))
    error_message = "region must be an AWS region such as ap-northeast-2."
  }
}

variable "name" {
  description = "Prefix of the names of resources; AWS adds a unique suffix to the bucket's name"
  type        = string
  default     = "voting-app-terraform"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,28}$", var.name))
    error_message = "name must have 3 to 29 of a-z, 0-9 and hyphen, and begin with a letter: the length of bucket names is limited."
  }
}

variable "noncurrent_version_days" {
  description = "Retention of noncurrent versions of the state, in days"
  type        = number
  default     = 90

  validation {
    condition     = var.noncurrent_version_days >= 7 && var.noncurrent_version_days <= 3650
    error_message = "noncurrent_version_days must be 7 to 3650: less than a week is too short to notice that an old state is needed."
  }
}

variable "github_repository" {
  description = "GitHub repository whose workflows may plan and apply, such as example/voting-app. null: none"
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be an owner and a name, such as example/voting-app."
  }
}

variable "environments" {
  description = "Environments that workflows apply, each with a role of its own"
  type        = set(string)
  default     = ["dev", "staging", "prod"]
}

variable "pull_request_environments" {
  description = "Environments that pull requests plan. Everyone who may push a branch can read their secrets"
  type        = set(string)
  default     = ["dev", "staging"]

  validation {
    condition     = length(setsubtract(var.pull_request_environments, var.environments)) == 0
    error_message = "pull_request_environments must be some of environments."
  }
}

variable "github_provider_arn" {
  description = "ARN of the account's existing OIDC provider of GitHub, of which an account can have only one. null: one is created"
  type        = string
  default     = null

  validation {
    condition     = var.github_provider_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token.actions.githubusercontent.com$", var.github_provider_arn))
    error_message = "github_provider_arn must be arn:aws:iam::ACCOUNT:oidc-provider/token.actions.githubusercontent.com."
  }
}
