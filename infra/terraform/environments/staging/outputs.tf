output "urls" {
  description = "URLs of the pages"
  value       = module.voting_app.urls
}

output "shell_commands" {
  description = "Commands that open a shell on a machine"
  value       = module.voting_app.shell_commands
}

output "grafana" {
  description = "URL of Grafana, and commands to reach it"
  value       = module.voting_app.grafana
}

output "dashboard" {
  description = "URL of the dashboard in CloudWatch"
  value       = module.voting_app.dashboard
}

output "groups" {
  description = "Names of the auto scaling groups"
  value       = module.voting_app.groups
}
