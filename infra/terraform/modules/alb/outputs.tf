output "arn" {
  description = "The load balancer"
  value       = aws_lb.this.arn
}

output "arn_suffix" {
  description = "The load balancer as metrics name it"
  value       = aws_lb.this.arn_suffix
}

output "dns_name" {
  description = "The load balancer's own host name"
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "The zone of that name, for aliases"
  value       = aws_lb.this.zone_id
}

output "target_groups" {
  description = "By service and release, such as vote-blue: the target group's ARN and its name in metrics"
  value       = { for key, group in aws_lb_target_group.this : key => { arn = group.arn, arn_suffix = group.arn_suffix } }
}

output "urls" {
  description = "The pages' addresses"
  value = {
    vote   = "${var.https ? "https" : "http"}://${var.hosts == null ? aws_lb.this.dns_name : var.hosts.vote}/"
    result = "${var.https ? "https" : "http"}://${var.hosts == null ? "${aws_lb.this.dns_name}/result" : "${var.hosts.result}/"}"
  }
  # Services name these addresses to browsers.
  depends_on = [module.https]
}
