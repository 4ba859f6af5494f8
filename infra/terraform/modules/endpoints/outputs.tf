output "subnet_ids" {
  description = "Input subnet_ids, available once the endpoints exist"
  value       = var.subnet_ids
  # A machine that starts earlier reaches AWS services over the internet, or not at all.
  depends_on = [aws_vpc_endpoint.this]
}
