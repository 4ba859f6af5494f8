mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

run "only_the_account_administers_the_key" {
  assert {
    condition     = jsondecode(output.json).Statement == [{ Sid = "TheAccountAdministers", Effect = "Allow", Principal = { AWS = "arn:aws:iam::123456789012:root" }, Action = "kms:*", Resource = "*" }]
    error_message = "Another account may use the key, or this account may not."
  }
}

run "services_use_the_key_for_this_account" {
  variables {
    services = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
  }

  assert {
    condition     = [for statement in jsondecode(output.json).Statement : statement.Sid] == ["TheAccountAdministers", "ServicesOfAWSUseIt"] && tolist(jsondecode(output.json).Statement[1].Principal.Service) == var.services && jsondecode(output.json).Statement[1].Condition.StringEquals["aws:SourceAccount"] == "123456789012" && !contains(jsondecode(output.json).Statement[1].Action, "kms:*")
    error_message = "A service may do more than use the key, or use it for other accounts."
  }
}

run "an_invalid_service_is_rejected" {
  command = plan

  variables {
    services = ["*"]
  }

  expect_failures = [var.services]
}
