# The application's secrets, made at random. Each is a parameter of its own, so that a machine can be given those it needs
# and no others. They are in the state too: whoever may read the state may read them, which is why it is encrypted and closed.

module "key_policy" {
  source = "../key-policy"
}

# With AWS's own key, whoever may read any parameter of the account could decrypt these.
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
  exclude_punctuation        = true # They become parts of URLs.
  require_each_included_type = true
}

resource "aws_ssm_parameter" "this" {
  for_each = var.lengths

  name        = "/${var.name}/secrets/${each.key}"
  description = "The ${replace(each.key, "-", " ")} of ${var.name}"
  type        = "SecureString"
  key_id      = aws_kms_key.this.arn
  value       = data.aws_secretsmanager_random_password.this[each.key].random_password

  lifecycle {
    # Each plan draws lots again. Whoever wants a new secret puts one (runbooks/secrets.md), and it stays.
    ignore_changes = [value]
  }
}

# What comes from outside: an operator writes the value (runbooks/secrets.md). A parameter cannot be empty.
resource "aws_ssm_parameter" "external" {
  for_each = var.external

  name        = "/${var.name}/secrets/${each.key}"
  description = "The ${replace(each.key, "-", " ")} of ${var.name}, or none"
  type        = "SecureString"
  key_id      = aws_kms_key.this.arn
  value       = "none"

  lifecycle {
    ignore_changes = [value]
  }
}

moved {
  from = aws_ssm_parameter.address
  to   = aws_ssm_parameter.external
}
