output "vpc_id" {
  description = "The network"
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The network's addresses"
  value       = aws_vpc.this.cidr_block
}

output "s3_prefix_list_id" {
  description = "Prefix list of the gateway endpoint of S3"
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "zones" {
  description = "The zones in use, sorted"
  value       = keys(local.zones)
}

output "public_subnet_ids" {
  description = "Subnets with a route to the internet, one per zone"
  value       = [for subnet in aws_subnet.public : subnet.id]
  # A machine that starts before there is a way out installs nothing.
  depends_on = [aws_route.internet, aws_route_table_association.public, aws_vpc_endpoint.s3]
}

output "private_subnet_ids" {
  description = "Subnets that reach the internet by a gateway if there is one, one per zone"
  value       = [for subnet in aws_subnet.private : subnet.id]
  depends_on  = [aws_route.nat, aws_route_table_association.private, aws_vpc_endpoint.s3]
}

output "data_subnet_ids" {
  description = "Subnets without any way out, one per zone"
  value       = [for subnet in aws_subnet.data : subnet.id]
}
