output "group_ids" {
  description = "Ids of the groups by name: load_balancer, front, worker, monitoring, queue, database, and endpoints if there are any"
  value       = { for name, group in aws_security_group.this : name => group.id }
  # A resource that uses a group needs its rules from the start.
  depends_on = [aws_vpc_security_group_ingress_rule.this, aws_vpc_security_group_ingress_rule.cdn, aws_vpc_security_group_egress_rule.this]
}
