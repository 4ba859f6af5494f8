# User data of the machines, rendered for tests that run it.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.60"
    }
  }
}

locals {
  common = {
    releases   = { blue = { tag = "under-test" } }
    budget_usd = 1
    repository = { url = "https://repository.example/voting-app.git", ref = "under-test" }
  }
}

module "single" {
  source = "../../modules/stack"

  environment         = "single"
  cidr                = "10.0.0.0/16"
  nat_gateways        = "none"
  single_instance     = true
  store               = "self-hosted"
  queue               = "self-hosted"
  deletion_protection = false
  image_registry      = "registry.example/voting-app"
  releases            = local.common.releases
  budget_usd          = local.common.budget_usd
}

module "fleet" {
  source = "../../modules/stack"

  environment         = "fleet"
  cidr                = "10.1.0.0/16"
  nat_gateways        = "one"
  single_instance     = false
  enable_alb          = true
  store               = "rds"
  queue               = "memorydb"
  deletion_protection = false
  repository          = local.common.repository
  image_registry      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/voting-app"
  releases            = local.common.releases
  budget_usd          = local.common.budget_usd
}

output "user_data" {
  description = "By role"
  value = {
    everything = module.single.user_data["everything"]
    front      = module.fleet.user_data["front-blue"]
    worker     = module.fleet.user_data["worker"]
    monitoring = module.fleet.user_data["monitoring"]
  }
}
