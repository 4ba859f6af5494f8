output "group_name" {
  description = "The group, or null for a single machine"
  value       = one([for group in aws_autoscaling_group.this : group.name])
}

output "instance_id" {
  description = "The single machine, or null for a group"
  value       = one([for instance in aws_instance.this : instance.id])
}

output "address" {
  description = "The single machine's address: the public one if it has one"
  value       = one(var.public_address ? [for address in aws_eip.this : address.public_ip] : [for instance in aws_instance.this : instance.private_ip])
}

output "user_data" {
  description = "What a machine does when it starts; nothing in it is secret"
  value       = local.user_data
}

output "role_name" {
  description = "The machines' IAM role"
  value       = aws_iam_role.this.name
}
