output "group_ids" {
  description = "The groups by name: load_balancer, front, worker, monitoring, queue, database, and endpoints where there are any"
  value       = { for name, group in aws_security_group.this : name => group.id }
  # Whoever gets a group may talk at once.
  depends_on = [aws_vpc_security_group_ingress_rule.this, aws_vpc_security_group_ingress_rule.delivered, aws_vpc_security_group_egress_rule.this]
}
