mock_provider "aws" {}

variables {
  name = "voting-app-test"
}

run "each_secret_is_a_separate_encrypted_parameter" {
  assert {
    condition     = toset([for secret in aws_ssm_parameter.this : secret.name]) == toset([for name in keys(var.lengths) : "/voting-app-test/secrets/${name}"])
    error_message = "The secrets differ from the input."
  }

  assert {
    condition     = alltrue([for name, secret in aws_ssm_parameter.this : secret.type == "SecureString" && secret.value == data.aws_secretsmanager_random_password.this[name].random_password])
    error_message = "A secret is not encrypted, or not the random value generated for it."
  }
}

run "secrets_are_encrypted_with_a_key_of_this_environment" {
  assert {
    condition     = alltrue([for secret in concat(values(aws_ssm_parameter.this), values(aws_ssm_parameter.external)) : secret.key_id == aws_kms_key.this.arn && secret.type == "SecureString"]) && aws_kms_key.this.enable_key_rotation
    error_message = "Everyone who may read any parameter of the account could decrypt a secret."
  }

  assert {
    condition     = toset([for secret in aws_ssm_parameter.external : "${secret.name}=${nonsensitive(secret.value)}"]) == toset([for name in var.external : "/voting-app-test/secrets/${name}=none"])
    error_message = "A secret that no operator has written must be none."
  }
}

run "cookies_are_signed_with_at_least_64_bytes_and_all_secrets_fit_into_urls" {
  assert {
    condition     = data.aws_secretsmanager_random_password.this["cookie-key"].password_length >= 64 && alltrue([for password in data.aws_secretsmanager_random_password.this : password.exclude_punctuation])
    error_message = "The cookie key is too short, or a password has characters that a URL cannot contain."
  }
}

run "a_short_secret_is_rejected" {
  command = plan

  variables {
    lengths = { cookie-key = 8 }
  }

  expect_failures = [var.lengths]
}
