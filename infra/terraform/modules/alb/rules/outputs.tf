output "rules" {
  description = "ARNs of the rules, by name"
  value       = aws_lb_listener_rule.this
}

output "no_metrics" {
  description = "ARN of the rule that blocks /metrics"
  value       = aws_lb_listener_rule.no_metrics
}
