# The resources cannot be destroyed, not even by a test, so all runs are plans.
mock_provider "aws" {}

override_resource {
  target          = aws_kms_key.state
  override_during = plan
  values          = { arn = "arn:aws:kms:ap-northeast-2:123456789012:key/1" }
}

override_resource {
  target          = aws_s3_bucket.state
  override_during = plan
  values          = { arn = "arn:aws:s3:::the-state" }
}

override_resource {
  target          = aws_dynamodb_table.locks
  override_during = plan
  values          = { arn = "arn:aws:dynamodb:ap-northeast-2:123456789012:table/locks" }
}

override_resource {
  target          = aws_iam_openid_connect_provider.github
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:oidc-provider/github" }
}

override_data {
  target = data.aws_caller_identity.this
  values = { account_id = "123456789012" }
}

override_resource {
  target          = aws_iam_policy.boundary
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/boundary" }
}

run "the_state_is_versioned_encrypted_and_private" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled" && one(one(aws_s3_bucket_server_side_encryption_configuration.state.rule[*]).apply_server_side_encryption_by_default[*].kms_master_key_id) == aws_kms_key.state.arn
    error_message = "The state is not versioned, or not encrypted with its key."
  }

  assert {
    condition     = alltrue([aws_s3_bucket_public_access_block.state.block_public_acls, aws_s3_bucket_public_access_block.state.block_public_policy, aws_s3_bucket_public_access_block.state.ignore_public_acls, aws_s3_bucket_public_access_block.state.restrict_public_buckets]) && aws_s3_bucket_ownership_controls.state.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "The state could be made public."
  }

  assert {
    condition     = one(jsondecode(aws_s3_bucket_policy.state.policy).Statement).Effect == "Deny" && one(jsondecode(aws_s3_bucket_policy.state.policy).Statement).Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "The state can be accessed without TLS."
  }

  assert {
    condition     = one(one(aws_s3_bucket_lifecycle_configuration.state.rule[*]).noncurrent_version_expiration[*].noncurrent_days) == 90
    error_message = "Noncurrent versions must expire after 90 days."
  }

  assert {
    condition     = aws_s3_bucket.state.bucket_prefix == "voting-app-terraform-state-"
    error_message = "The bucket's name must have a unique suffix."
  }
}

run "the_lock_table_is_billed_per_request_and_protected" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.locks.billing_mode == "PAY_PER_REQUEST" && aws_dynamodb_table.locks.hash_key == "LockID" && aws_dynamodb_table.locks.point_in_time_recovery[0].enabled && aws_dynamodb_table.locks.deletion_protection_enabled
    error_message = "The lock table does not have the key that Terraform needs, or is not protected."
  }
}

run "no_repository_means_no_roles_for_workflows" {
  command = plan

  assert {
    condition     = length(aws_iam_role.github) == 0 && length(aws_iam_openid_connect_provider.github) == 0
    error_message = "There are roles for workflows although there is no repository."
  }
}

run "a_workflow_changes_only_the_approved_environment" {
  command = plan

  variables {
    github_repository = "example/voting-app"
  }

  assert {
    condition     = { for key, role in aws_iam_role.github : key => jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] }["apply-prod"] == "repo:example/voting-app:environment:prod"
    error_message = "Jobs outside of the GitHub environment may apply."
  }

  assert {
    condition     = keys(aws_iam_role_policy_attachment.apply) == ["apply-dev", "apply-prod", "apply-staging"] && alltrue([for attachment in aws_iam_role_policy_attachment.read : endswith(attachment.policy_arn, "ReadOnlyAccess")])
    error_message = "A pull request has write permissions."
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.apply["apply-dev"].policy).Statement : statement.Effect == "Deny" || !strcontains(jsonencode(statement.Resource), "prod")]) && anytrue([
      for statement in jsondecode(aws_iam_role_policy.apply["apply-dev"].policy).Statement : statement.Effect == "Deny" && jsonencode(statement.Action) == jsonencode(["*"]) && jsonencode(try(statement.Condition.StringEquals["aws:ResourceTag/Environment"], [])) == jsonencode(["prod", "staging"])
    ])
    error_message = "A workflow may change another environment."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.apply["apply-dev"].policy).Statement : try(statement.Condition.StringEquals["iam:PermissionsBoundary"], "") == "arn:aws:iam::123456789012:policy/boundary" if statement.Effect == "Allow" && anytrue([for action in ["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"] : contains(statement.Action, action)])])
    error_message = "A workflow may create a role with more permissions than its own."
  }

  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_policy.boundary["apply-dev"].policy).Statement : statement.Effect == "Allow" && anytrue([for action in statement.Action : startswith(action, "iam:") || startswith(action, "sts:") || endswith(action, ":*") || action == "*"])])
    error_message = "The permissions boundary is too wide."
  }

  assert {
    condition     = anytrue([for statement in jsondecode(aws_iam_role_policy.read["plan"].policy).Statement : statement.Effect == "Deny" && contains(statement.Action, "s3:GetObject*") && contains(flatten([statement.Resource]), "arn:aws:s3:::the-state/prod/*")]) && !strcontains(jsonencode([for statement in jsondecode(aws_iam_role_policy.read["plan"].policy).Statement : statement if statement.Effect == "Allow"]), "prod")
    error_message = "A pull request may read prod's secrets."
  }

  assert {
    condition     = [for key, role in local.plan_roles : key if anytrue([for statement in jsondecode(aws_iam_role_policy.read[key].policy).Statement : statement.Effect == "Allow" && contains(flatten([statement.Resource]), "arn:aws:s3:::the-state/plans/*")])] == ["review"]
    error_message = "A plan could be replaced between its approval and its apply."
  }
}

run "an_existing_provider_is_used" {
  command = plan

  variables {
    github_repository   = "example/voting-app"
    github_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && jsondecode(aws_iam_role.github["plan"].assume_role_policy).Statement[0].Principal.Federated == var.github_provider_arn
    error_message = "A second provider for GitHub is created, but an account can have only one."
  }
}

run "an_unknown_environment_and_another_provider_are_rejected" {
  command = plan

  variables {
    pull_request_environments = ["test"]
    github_provider_arn       = "arn:aws:iam::123456789012:oidc-provider/example.org"
  }

  expect_failures = [var.pull_request_environments, var.github_provider_arn]
}

run "less_than_a_week_of_old_versions_is_rejected" {
  command = plan

  variables {
    noncurrent_version_days = 1
  }

  expect_failures = [var.noncurrent_version_days]
}

run "an_invalid_region_is_rejected" {
  command = plan

  variables {
    region = "Seoul"
  }

  expect_failures = [var.region]
}

run "a_name_too_long_for_a_bucket_is_rejected" {
  command = plan

  variables {
    name = "voting-app-terraform-of-the-third-department"
  }

  expect_failures = [var.name]
}

run "a_url_as_repository_is_rejected" {
  command = plan

  variables {
    github_repository = "https://github.com/example/voting-app"
  }

  expect_failures = [var.github_repository]
}
