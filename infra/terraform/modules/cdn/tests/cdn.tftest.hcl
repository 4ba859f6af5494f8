mock_provider "aws" {
  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:us-east-1:123456789012:certificate/1"
      domain_validation_options = [
        { domain_name = "vote.example.org", resource_record_name = "_1.vote.example.org", resource_record_type = "CNAME", resource_record_value = "_1.acm.aws" },
        { domain_name = "result.example.org", resource_record_name = "_2.result.example.org", resource_record_type = "CNAME", resource_record_value = "_2.acm.aws" },
      ]
    }
  }
}

variables {
  name   = "voting-app-test"
  hosts  = { vote = "vote.example.org", result = "result.example.org" }
  origin = "vote.example.org"
}

run "only_files_are_cached_and_everything_is_https" {
  assert {
    condition     = aws_cloudfront_distribution.this.default_cache_behavior[0].cache_policy_id == local.caching_disabled && one(aws_cloudfront_distribution.this.ordered_cache_behavior[*].path_pattern) == "/static/*"
    error_message = "A page with one voter's vote could be cached and served to another voter."
  }

  assert {
    condition     = aws_cloudfront_distribution.this.default_cache_behavior[0].viewer_protocol_policy == "redirect-to-https" && aws_cloudfront_distribution.this.viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021" && one(aws_cloudfront_distribution.this.origin[*]).custom_origin_config[0].origin_protocol_policy == "https-only"
    error_message = "A connection is not encrypted."
  }

  assert {
    condition     = contains(aws_cloudfront_distribution.this.default_cache_behavior[0].allowed_methods, "POST") && aws_acm_certificate.this.region == "us-east-1"
    error_message = "Votes cannot be cast, or CloudFront cannot use the certificate."
  }
}

run "an_unknown_price_class_is_rejected" {
  command = plan

  variables {
    price_class = "cheap"
  }

  expect_failures = [var.price_class]
}
