mock_provider "aws" {
  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:ap-northeast-2:123456789012:certificate/1"
      domain_validation_options = [
        { domain_name = "vote.example.org", resource_record_name = "_1.vote.example.org", resource_record_type = "CNAME", resource_record_value = "_1.acm.aws" },
        { domain_name = "result.example.org", resource_record_name = "_2.result.example.org", resource_record_type = "CNAME", resource_record_value = "_2.acm.aws" },
      ]
    }
  }
}

variables {
  zone_id = "Z0123456789ABC"
  names   = ["vote.example.org", "result.example.org"]
  records = {
    "vote.example.org"   = { name = "lb.example.com", zone_id = "ZLB" }
    "result.example.org" = { name = "lb.example.com", zone_id = "ZLB" }
  }
}

run "both_names_are_in_the_certificate_and_resolve_to_the_load_balancer" {
  assert {
    condition     = toset(concat([aws_acm_certificate.this.domain_name], tolist(aws_acm_certificate.this.subject_alternative_names))) == toset(["vote.example.org", "result.example.org"]) && aws_acm_certificate.this.validation_method == "DNS"
    error_message = "The certificate is for other names."
  }

  assert {
    condition     = alltrue([for name, record in aws_route53_record.this : record.name == name && one(record.alias[*].name) == "lb.example.com" && record.zone_id == "Z0123456789ABC"])
    error_message = "A name does not resolve to the load balancer."
  }

  assert {
    condition     = aws_route53_record.validation["result.example.org"].name == "_2.result.example.org" && tolist(aws_route53_record.validation["vote.example.org"].records) == tolist(["_1.acm.aws"])
    error_message = "The certificate could not be validated."
  }
}

run "an_invalid_host_name_is_rejected" {
  command = plan

  variables {
    names   = ["https://vote.example.org/"]
    records = { "https://vote.example.org/" = { name = "lb.example.com", zone_id = "ZLB" } }
  }

  expect_failures = [var.names]
}

run "a_name_without_a_record_is_rejected" {
  command = plan

  variables {
    names = ["vote.example.org", "result.example.org", "admin.example.org"]
  }

  expect_failures = [var.records]
}

run "a_domain_as_zone_id_is_rejected" {
  command = plan

  variables {
    zone_id = "example.org"
  }

  expect_failures = [var.zone_id]
}
