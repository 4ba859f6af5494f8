variable "name" {
  description = "Prefix of the names of resources, such as voting-app-dev"
  type        = string
}

variable "lengths" {
  description = "Secrets by name, each with its length in characters"
  type        = map(number)
  default = {
    # Signs the voters' cookies: at least 64 bytes.
    cookie-key             = 128
    vote-queue-password    = 48
    worker-queue-password  = 48
    monitor-queue-password = 48
    worker-store-password  = 48
    result-store-password  = 48
    monitor-store-password = 48
    grafana-admin-password = 32
  }

  validation {
    condition     = alltrue([for length in values(var.lengths) : length >= 32 && length <= 128])
    error_message = "Each of lengths must be 32 to 128: shorter ones can be guessed, and the queue rejects longer ones."
  }
}

variable "external" {
  description = "Names of the secrets that an operator writes. Their value is none until then"
  type        = set(string)
  default = [
    "alert-page-url", "alert-page-slack-url", "alert-page-teams-url", "alert-page-pagerduty-key",
    "alert-ticket-url", "alert-ticket-slack-url", "alert-ticket-teams-url", "alert-ticket-pagerduty-key",
    "alert-watchdog-url", "image-pull-secret",
  ]
}
