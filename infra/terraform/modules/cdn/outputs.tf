output "alias" {
  description = "The network's own name and the zone of it"
  value       = { name = aws_cloudfront_distribution.this.domain_name, zone_id = aws_cloudfront_distribution.this.hosted_zone_id }
}

output "address_header" {
  description = "The header in which the load balancer is told the visitor's address"
  value       = local.address_header
}
