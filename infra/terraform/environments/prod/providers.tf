provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project     = "voting-app"
      Environment = "prod"
      ManagedBy   = "Terraform"
    }
  }
}
