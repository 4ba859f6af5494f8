output "topic_arn" {
  description = "The topic that alarms are published to"
  value       = aws_sns_topic.alarms.arn
}

output "log_group" {
  description = "The log group of machines and services"
  value       = { name = aws_cloudwatch_log_group.services.name, arn = aws_cloudwatch_log_group.services.arn }
}

output "alarm_names" {
  description = "The alarms"
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}

output "dashboard" {
  description = "The dashboard's name"
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "host" {
  description = "The machine of Prometheus and Grafana, or null: its id, its address, and what it does when it starts"
  value       = one([for host in module.host : { instance_id = host.instance_id, address = host.address, user_data = host.user_data }])
}
