output "rules" {
  description = "The rules, by name"
  value       = aws_lb_listener_rule.this
}

output "no_metrics" {
  description = "The rule that closes /metrics"
  value       = aws_lb_listener_rule.no_metrics
}
