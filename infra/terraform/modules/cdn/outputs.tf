output "alias" {
  description = "The network's own name and the zone of it"
  value       = { name = aws_cloudfront_distribution.this.domain_name, zone_id = aws_cloudfront_distribution.this.hosted_zone_id }
}
