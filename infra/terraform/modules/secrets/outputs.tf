output "names" {
  description = "The names of the secrets in the parameter store, by what they are"
  value       = { for name, secret in merge(aws_ssm_parameter.this, aws_ssm_parameter.external) : name => secret.name }
}

output "arns" {
  description = "The secrets' ARNs, by what they are"
  value       = { for name, secret in merge(aws_ssm_parameter.this, aws_ssm_parameter.external) : name => secret.arn }
}

output "values" {
  description = "The secrets themselves, for services of AWS that must be told them"
  value       = { for name, secret in aws_ssm_parameter.this : name => secret.value }
  sensitive   = true
}

output "key_arn" {
  description = "The key that they are encrypted with"
  value       = aws_kms_key.this.arn
}
