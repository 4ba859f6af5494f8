output "rules" {
  description = "ARNs of the rules, by name"
  value       = aws_lb_listener_rule.this
}

output "block_metrics" {
  description = "ARN of the rule that blocks /metrics"
  value       = aws_lb_listener_rule.block_metrics
}
