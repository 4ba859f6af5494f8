variable "region" {
  description = "The region of the state"
  type        = string
  default     = "ap-northeast-2"

  validation {
    condition     = can(regex("^[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]$", var.region))
    error_message = "region is a region of AWS such as ap-northeast-2."
  }
}

variable "name" {
  description = "What names of resources begin with; the bucket's name ends with a suffix that AWS has not seen yet"
  type        = string
  default     = "voting-app-terraform"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,28}$", var.name))
    error_message = "name has 3 to 29 of a-z, 0-9 and hyphen, and begins with a letter: a bucket's name is short."
  }
}

variable "old_version_days" {
  description = "How long versions of the state are kept that are not the newest"
  type        = number
  default     = 90

  validation {
    condition     = var.old_version_days >= 7 && var.old_version_days <= 3650
    error_message = "old_version_days is 7 to 3650: less than a week is too short to notice that one needs an old state."
  }
}

variable "github_repository" {
  description = "The repository on GitHub whose workflows may plan and apply, such as example/voting-app; null for none"
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository is an owner and a name, such as example/voting-app."
  }
}

variable "environments" {
  description = "The environments that workflows apply, each with a role of its own"
  type        = set(string)
  default     = ["dev", "staging", "prod"]
}

variable "pull_request_environments" {
  description = "The environments whose plans pull requests show: whoever may push a branch can then read their secrets"
  type        = set(string)
  default     = ["dev", "staging"]

  validation {
    condition     = length(setsubtract(var.pull_request_environments, var.environments)) == 0
    error_message = "pull_request_environments are some of environments."
  }
}

variable "github_provider_arn" {
  description = "GitHub's provider of tokens, where the account has one already: it can have one only"
  type        = string
  default     = null

  validation {
    condition     = var.github_provider_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token.actions.githubusercontent.com$", var.github_provider_arn))
    error_message = "github_provider_arn is arn:aws:iam::ACCOUNT:oidc-provider/token.actions.githubusercontent.com."
  }
}
