output "group_name" {
  description = "Name of the group. null for a single machine"
  value       = one([for group in aws_autoscaling_group.this : group.name])
}

output "instance_id" {
  description = "Id of the single machine. null for a group"
  value       = one([for instance in aws_instance.this : instance.id])
}

output "address" {
  description = "Address of the single machine: the public one if it has one"
  value       = one(var.public_address ? [for address in aws_eip.this : address.public_ip] : [for instance in aws_instance.this : instance.private_ip])
}

output "user_data" {
  description = "User data of the machines, which contains no secrets"
  value       = local.user_data
}

output "role_name" {
  description = "Name of the machines' IAM role"
  value       = aws_iam_role.this.name
}
