provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project     = "voting-app"
      Environment = "staging"
      ManagedBy   = "Terraform"
    }
  }
}
