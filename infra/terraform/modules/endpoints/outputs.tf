output "subnet_ids" {
  description = "The same subnets, once they have the endpoints"
  value       = var.subnet_ids
  # A machine that starts before reaches AWS's services by the internet, or not at all.
  depends_on = [aws_vpc_endpoint.this]
}
