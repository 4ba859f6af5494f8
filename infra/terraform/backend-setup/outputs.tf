output "bucket" {
  description = "Bucket of the state"
  value       = aws_s3_bucket.state.id
}

output "backend_config" {
  description = "Configuration of the environments' backends, for terraform init -backend-config"
  value       = <<-EOT
    bucket         = "${aws_s3_bucket.state.id}"
    region         = "${var.region}"
    dynamodb_table = "${aws_dynamodb_table.locks.name}"
    kms_key_id     = "${aws_kms_key.state.arn}"
  EOT
}

output "github_roles" {
  description = "ARNs of the workflows' roles, to be set as variables on GitHub"
  value       = { for key, role in aws_iam_role.github : key => role.arn }
}

output "permissions_boundaries" {
  description = "ARNs for permissions_boundary_arn of environments that workflows apply"
  value       = { for key, boundary in aws_iam_policy.boundary : trimprefix(key, "apply-") => boundary.arn }
}
