output "arn" {
  description = "The rules"
  value       = aws_wafv2_web_acl.this.arn
}
