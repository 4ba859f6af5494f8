output "json" {
  description = "Policy as JSON"
  value       = jsonencode({ Version = "2012-10-17", Statement = concat([local.account], local.services) })
}
