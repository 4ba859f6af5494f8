# The bucket, the region and the lock table come from backend-setup:
#   terraform init -backend-config=../backend.hcl
terraform {
  backend "s3" {
    key          = "prod/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
