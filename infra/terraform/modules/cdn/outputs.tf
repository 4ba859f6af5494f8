output "alias" {
  description = "DNS name of the distribution and its hosted zone"
  value       = { name = aws_cloudfront_distribution.this.domain_name, zone_id = aws_cloudfront_distribution.this.hosted_zone_id }
}

output "address_header" {
  description = "Header in which the load balancer receives the client's address"
  value       = local.address_header
}
