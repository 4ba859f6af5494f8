output "bucket" {
  description = "The bucket of the state"
  value       = aws_s3_bucket.state.id
}

output "backend_config" {
  description = "What environments are told by terraform init -backend-config"
  value       = <<-EOT
    bucket         = "${aws_s3_bucket.state.id}"
    region         = "${var.region}"
    dynamodb_table = "${aws_dynamodb_table.locks.name}"
    kms_key_id     = "${aws_kms_key.state.arn}"
  EOT
}

output "github_roles" {
  description = "The roles of workflows: what to set as variables on GitHub"
  value       = { for key, role in aws_iam_role.github : key => role.arn }
}

output "permissions_boundaries" {
  description = "What environments are told as permissions_boundary_arn, where workflows apply them"
  value       = { for key, boundary in aws_iam_policy.boundary : trimprefix(key, "apply-") => boundary.arn }
}
