output "topic_arn" {
  description = "ARN of the topic that alarms are published to"
  value       = aws_sns_topic.alarms.arn
}

output "log_group" {
  description = "Log group of machines and services"
  value       = { name = aws_cloudwatch_log_group.services.name, arn = aws_cloudwatch_log_group.services.arn }
}

output "alarm_names" {
  description = "Names of the alarms"
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}

output "dashboard" {
  description = "Name of the dashboard"
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "host" {
  description = "Id, address and user data of the machine of Prometheus and Grafana. null without one"
  value       = one([for host in module.host : { instance_id = host.instance_id, address = host.address, user_data = host.user_data }])
}
