# The policy of a key of KMS: the account administers it, so that its roles decide who may use it. Keys themselves stand where
# they are used, because `prevent_destroy` cannot be an input.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  account = {
    Sid       = "TheAccountAdministers"
    Effect    = "Allow"
    Principal = { AWS = "arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:root" }
    Action    = "kms:*"
    Resource  = "*"
  }

  # Services of AWS act for this account only.
  services = [for services in [var.services] : {
    Sid       = "ServicesOfAWSUseIt"
    Effect    = "Allow"
    Principal = { Service = services }
    Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
  } if length(services) > 0]
}
