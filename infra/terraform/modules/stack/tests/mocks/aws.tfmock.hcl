# The provider in the tests of this module.

mock_data "aws_region" {
  defaults = { region = "ap-northeast-2" }
}

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_ami" {
  defaults = { id = "ami-0123456789abcdef0" }
}

mock_data "aws_ec2_managed_prefix_list" {
  defaults = { id = "pl-1", entries = [{ cidr = "198.51.100.0/24", description = "" }] }
}

mock_data "aws_availability_zones" {
  defaults = { names = ["ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"] }
}

mock_data "aws_secretsmanager_random_password" {
  defaults = { random_password = "a-random-password-that-is-long-enough" }
}

mock_resource "aws_ebs_volume" {
  defaults = { id = "vol-0123456789abcdef0" }
}

mock_resource "aws_eip" {
  defaults = { public_ip = "203.0.113.80" }
}

mock_resource "aws_acm_certificate" {
  defaults = {
    arn = "arn:aws:acm:ap-northeast-2:123456789012:certificate/1"
    domain_validation_options = [
      { domain_name = "vote.example.org", resource_record_name = "_a", resource_record_type = "CNAME", resource_record_value = "a" },
      { domain_name = "result.example.org", resource_record_name = "_b", resource_record_type = "CNAME", resource_record_value = "b" },
      { domain_name = "origin-vote.example.org", resource_record_name = "_c", resource_record_type = "CNAME", resource_record_value = "c" },
    ]
  }
}
