output "group_ids" {
  description = "The groups by name: load_balancer, front, worker, monitoring, queue, database"
  value       = { for name, group in aws_security_group.this : name => group.id }
}
