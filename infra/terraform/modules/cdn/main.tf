# A CDN in front of the load balancer: it caches files, and forwards all other requests.

locals {
  names = toset(values(var.hosts))

  # AWS's managed policies, by their fixed ids.
  caching_disabled  = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
  caching_optimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"
  all_viewer        = "216adef6-5c7f-47e4-b989-5492eafa07d3"
  origin            = "load-balancer"

  address_header = "x-client-address"
}

data "aws_region" "this" {}

# The function overwrites this header if the client has sent it, because the WAF counts by it. Function names are the same for all regions.
resource "aws_cloudfront_function" "address" {
  name    = "${var.name}-${data.aws_region.this.region}-address"
  runtime = "cloudfront-js-2.0"
  comment = "Sends the client's address to the load balancer"
  publish = true
  code    = <<-JAVASCRIPT
    function handler(event) {
      event.request.headers["${local.address_header}"] = { value: event.viewer.ip };
      return event.request;
    }
  JAVASCRIPT
}

# CloudFront uses certificates of this region only.
resource "aws_acm_certificate" "this" {
  region                    = "us-east-1"
  domain_name               = var.hosts.vote
  subject_alternative_names = [var.hosts.result]
  validation_method         = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

# The validation records are those of the load balancer's certificate: they are the same in every region.
resource "aws_acm_certificate_validation" "this" {
  region          = "us-east-1"
  certificate_arn = aws_acm_certificate.this.arn
}

resource "aws_cloudfront_distribution" "this" {
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = var.price_class
  aliases         = local.names
  comment         = var.name

  origin {
    origin_id   = local.origin
    domain_name = var.origin

    custom_origin_config {
      http_port              = 80
      https_port             = 443
      origin_protocol_policy = "https-only"
      origin_ssl_protocols   = ["TLSv1.2"]
      # The live result sends an event at least every ten seconds.
      origin_read_timeout = 60
    }
  }

  default_cache_behavior {
    target_origin_id         = local.origin
    viewer_protocol_policy   = "redirect-to-https"
    allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods           = ["GET", "HEAD"]
    cache_policy_id          = local.caching_disabled
    origin_request_policy_id = local.all_viewer

    function_association {
      event_type   = "viewer-request"
      function_arn = aws_cloudfront_function.address.arn
    }
  }

  # File names contain a hash of the content, so files never expire.
  ordered_cache_behavior {
    path_pattern             = "/static/*"
    target_origin_id         = local.origin
    viewer_protocol_policy   = "redirect-to-https"
    allowed_methods          = ["GET", "HEAD"]
    cached_methods           = ["GET", "HEAD"]
    compress                 = true
    cache_policy_id          = local.caching_optimized
    origin_request_policy_id = local.all_viewer

    function_association {
      event_type   = "viewer-request"
      function_arn = aws_cloudfront_function.address.arn
    }
  }

  viewer_certificate {
    acm_certificate_arn      = aws_acm_certificate_validation.this.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }
}
