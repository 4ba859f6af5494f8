output "urls" {
  description = "The pages"
  value       = module.voting_app.urls
}

output "enter" {
  description = "Commands that open a shell on a machine"
  value       = module.voting_app.enter
}

output "grafana" {
  description = "Where Grafana is, and how to reach it"
  value       = module.voting_app.grafana
}

output "dashboard" {
  description = "The dashboard in CloudWatch"
  value       = module.voting_app.dashboard
}

output "groups" {
  description = "The groups of machines"
  value       = module.voting_app.groups
}
