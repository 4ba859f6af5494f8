# Policy of a KMS key: the account administers it, so that IAM roles control its use. The keys themselves are declared where they are
# used, because `prevent_destroy` cannot be an input.

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

  # AWS services may use the key for this account only.
  services = [for services in [var.services] : {
    Sid       = "ServicesOfAWSUseIt"
    Effect    = "Allow"
    Principal = { Service = services }
    Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
  } if length(services) > 0]
}
