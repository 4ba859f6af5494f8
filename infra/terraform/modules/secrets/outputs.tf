output "names" {
  description = "Names of the secrets in the parameter store, by kind"
  value       = { for name, secret in merge(aws_ssm_parameter.this, aws_ssm_parameter.external) : name => secret.name }
}

output "arns" {
  description = "ARNs of the secrets, by kind"
  value       = { for name, secret in merge(aws_ssm_parameter.this, aws_ssm_parameter.external) : name => secret.arn }
}

output "values" {
  description = "Values of the secrets, for AWS services that need them"
  value       = { for name, secret in aws_ssm_parameter.this : name => secret.value }
  sensitive   = true
}

output "key_arn" {
  description = "ARN of the key that encrypts the secrets"
  value       = aws_kms_key.this.arn
}
