# The application's secrets, generated at random. Each is a separate parameter, so that a machine can be granted only those that it
# needs. They are in the state too, in plain text for everyone who may read it; therefore it is encrypted and access is restricted.

module "key_policy" {
  source = "../key-policy"
}

# With AWS's own key, everyone who may read any parameter of the account could decrypt these.
resource "aws_kms_key" "this" {
  description             = "Secrets of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  policy                  = module.key_policy.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-secrets"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_secretsmanager_random_password" "this" {
  for_each = var.lengths

  password_length            = each.value
  exclude_punctuation        = true # The values become parts of URLs.
  require_each_included_type = true
}

resource "aws_ssm_parameter" "this" {
  for_each = var.lengths

  name        = "/${var.name}/secrets/${each.key}"
  description = "Secret ${each.key} of ${var.name}"
  type        = "SecureString"
  key_id      = aws_kms_key.this.arn
  value       = data.aws_secretsmanager_random_password.this[each.key].random_password

  lifecycle {
    # Each plan generates a new random value. Operators replace a secret directly (runbooks/secrets.md), and Terraform does not overwrite it.
    ignore_changes = [value]
  }
}

# Secrets from outside: an operator writes the value (runbooks/secrets.md). A parameter cannot be empty.
resource "aws_ssm_parameter" "external" {
  for_each = var.external

  name        = "/${var.name}/secrets/${each.key}"
  description = "Secret ${each.key} of ${var.name}, or none"
  type        = "SecureString"
  key_id      = aws_kms_key.this.arn
  value       = "none"

  lifecycle {
    ignore_changes = [value]
  }
}
