output "vpc_id" {
  description = "Id of the VPC"
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Addresses of the network"
  value       = aws_vpc.this.cidr_block
}

output "s3_prefix_list_id" {
  description = "Prefix list of S3's gateway endpoint"
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "zones" {
  description = "Names of the zones in use, sorted"
  value       = keys(local.zones)
}

output "public_subnet_ids" {
  description = "Public subnets, one per zone"
  value       = [for subnet in aws_subnet.public : subnet.id]
  # A machine that starts without a route to the internet cannot install packages.
  depends_on = [aws_route.internet, aws_route_table_association.public, aws_vpc_endpoint.s3]
}

output "private_subnet_ids" {
  description = "Private subnets, with a route to the NAT gateway if there is one, one per zone"
  value       = [for subnet in aws_subnet.private : subnet.id]
  depends_on  = [aws_route.nat, aws_route_table_association.private, aws_vpc_endpoint.s3]
}

output "data_subnet_ids" {
  description = "Subnets without a route to the internet, one per zone"
  value       = [for subnet in aws_subnet.data : subnet.id]
}
