output "arn" {
  description = "ARN of the load balancer"
  value       = aws_lb.this.arn
}

output "arn_suffix" {
  description = "Name of the load balancer in metrics"
  value       = aws_lb.this.arn_suffix
}

output "dns_name" {
  description = "DNS name of the load balancer"
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "Hosted zone of the DNS name, for alias records"
  value       = aws_lb.this.zone_id
}

output "target_groups" {
  description = "ARN and name in metrics of each target group, by service and release, such as vote-blue"
  value       = { for key, group in aws_lb_target_group.this : key => { arn = group.arn, arn_suffix = group.arn_suffix } }
}

output "urls" {
  description = "URLs of the pages"
  value = {
    vote   = "${var.https ? "https" : "http"}://${var.hosts == null ? aws_lb.this.dns_name : var.hosts.vote}/"
    result = "${var.https ? "https" : "http"}://${var.hosts == null ? "${aws_lb.this.dns_name}/result" : "${var.hosts.result}/"}"
  }
  # The services give these URLs to browsers.
  depends_on = [module.https]
}
