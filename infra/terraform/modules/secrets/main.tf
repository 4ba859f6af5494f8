# The application's secrets, made at random. Each is a parameter of its own, so that a machine can be given those it needs
# and no others. They are in the state too: whoever may read the state may read them, which is why it is encrypted and closed.

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
  value       = data.aws_secretsmanager_random_password.this[each.key].random_password

  lifecycle {
    # Each plan draws lots again. Whoever wants a new secret puts one (runbooks/secrets.md), and it stays.
    ignore_changes = [value]
  }
}
