output "vpc_id" {
  description = "The network"
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The network's addresses"
  value       = aws_vpc.this.cidr_block
}

output "zones" {
  description = "The zones in use, sorted"
  value       = keys(local.zones)
}

output "public_subnet_ids" {
  description = "Subnets with a route to the internet, one per zone"
  value       = [for subnet in aws_subnet.public : subnet.id]
}

output "private_subnet_ids" {
  description = "Subnets that reach the internet by a gateway if there is one, one per zone"
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "data_subnet_ids" {
  description = "Subnets without any way out, one per zone"
  value       = [for subnet in aws_subnet.data : subnet.id]
}
