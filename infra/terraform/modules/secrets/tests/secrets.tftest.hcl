mock_provider "aws" {}

variables {
  name = "voting-app-test"
}

run "each_secret_is_one_of_its_own_and_encrypted" {
  assert {
    condition     = toset([for secret in aws_ssm_parameter.this : secret.name]) == toset([for name in keys(var.lengths) : "/voting-app-test/secrets/${name}"])
    error_message = "The secrets are not those that were asked for."
  }

  assert {
    condition     = alltrue([for name, secret in aws_ssm_parameter.this : secret.type == "SecureString" && secret.value == data.aws_secretsmanager_random_password.this[name].random_password])
    error_message = "A secret is readable for all, or is not the random one made for it."
  }
}

run "they_are_encrypted_with_a_key_of_this_environment" {
  assert {
    condition     = alltrue([for secret in concat(values(aws_ssm_parameter.this), values(aws_ssm_parameter.external)) : secret.key_id == aws_kms_key.this.arn && secret.type == "SecureString"]) && aws_kms_key.this.enable_key_rotation
    error_message = "Whoever may read any parameter of the account could decrypt a secret."
  }

  assert {
    condition     = toset([for secret in aws_ssm_parameter.external : "${secret.name}=${nonsensitive(secret.value)}"]) == toset([for name in var.external : "/voting-app-test/secrets/${name}=none"])
    error_message = "A secret that no operator has written is not none."
  }
}

run "cookies_are_signed_with_64_bytes_at_least_and_all_fit_into_urls" {
  assert {
    condition     = data.aws_secretsmanager_random_password.this["cookie-key"].password_length >= 64 && alltrue([for password in data.aws_secretsmanager_random_password.this : password.exclude_punctuation])
    error_message = "The cookie key is too short, or a password has signs that a URL cannot hold."
  }
}

run "a_short_secret_is_refused" {
  command = plan

  variables {
    lengths = { cookie-key = 8 }
  }

  expect_failures = [var.lengths]
}
