# Workflows on GitHub authenticate with OIDC tokens, so there are no keys to store. A pull request may plan some environments, the
# branch main may plan all, and only a job of a GitHub environment, which people approve, may change that environment.
#
# A separate AWS account for each environment isolates them best. Within one account, roles are denied access to all resources
# tagged with another environment, and the roles that a workflow creates are limited by a permissions boundary. Resources without
# tags, such as a hosted zone by default, are accessible to all.

locals {
  github    = var.github_repository == null ? toset([]) : toset(["this"])
  issuer    = "token.actions.githubusercontent.com"
  provider  = var.github_provider_arn != null ? var.github_provider_arn : one([for provider in aws_iam_openid_connect_provider.github : provider.arn])
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition

  plan_roles = var.github_repository == null ? {} : {
    plan   = { subject = "repo:${var.github_repository}:pull_request", environments = var.pull_request_environments, stores_plans = false }
    review = { subject = "repo:${var.github_repository}:ref:refs/heads/main", environments = var.environments, stores_plans = true }
  }
  apply_roles = var.github_repository == null ? {} : {
    for environment in var.environments : "apply-${environment}" => { subject = "repo:${var.github_repository}:environment:${environment}", environment = environment }
  }
  subjects = merge({ for key, role in local.plan_roles : key => role.subject }, { for key, role in local.apply_roles : key => role.subject })

  state = aws_s3_bucket.state.arn
}

resource "aws_iam_openid_connect_provider" "github" {
  for_each = var.github_provider_arn == null ? local.github : toset([])

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "github" {
  for_each = local.subjects

  name                 = "${var.name}-${each.key}"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.provider }
      Condition = { StringEquals = {
        "${local.issuer}:aud" = "sts.amazonaws.com"
        "${local.issuer}:sub" = each.value
      } }
    }]
  })
}

# One table has the locks of all environments.
resource "aws_iam_role_policy" "locks" {
  for_each = local.subjects

  name = "locks"
  role = aws_iam_role.github[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:ListBucket"], Resource = local.state },
      { Effect = "Allow", Action = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"], Resource = aws_dynamodb_table.locks.arn },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = aws_kms_key.state.arn },
    ]
  })
}

# A plan reads everything that an environment consists of, including its secrets in the state and in the parameter store.
resource "aws_iam_role_policy_attachment" "read" {
  for_each = local.plan_roles

  role       = aws_iam_role.github[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "read" {
  for_each = local.plan_roles

  name = "read"
  role = aws_iam_role.github[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Effect = "Allow", Action = ["s3:GetObject"], Resource = [for environment in each.value.environments : "${local.state}/${environment}/*"] },
        { Effect = "Allow", Action = ["s3:PutObject", "s3:DeleteObject"], Resource = [for environment in each.value.environments : "${local.state}/${environment}/*.tflock"] },
        # The provider also generates random passwords and discards them.
        { Effect = "Allow", Action = ["secretsmanager:GetRandomPassword"], Resource = "*" },
        {
          Effect    = "Allow"
          Action    = ["kms:Decrypt"]
          Resource  = "arn:${local.partition}:kms:*:${local.account}:key/*"
          Condition = { "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = [for environment in each.value.environments : "alias/voting-app-${environment}-secrets"] } }
        },
      ],
      # The approved plan is the one that is applied, so it is stored. It is in the state's bucket because it has the same secrets.
      each.value.stores_plans ? [{ Effect = "Allow", Action = ["s3:PutObject"], Resource = "${local.state}/plans/*" }] : [],
      # ReadOnlyAccess would allow reading them too.
      [{ Effect = "Deny", Action = ["s3:GetObject*"], Resource = concat(["${local.state}/plans/*"], [for environment in setsubtract(var.environments, each.value.environments) : "${local.state}/${environment}/*"]) }],
    )
  })
}

# Access to nearly all of AWS's services, except for resources of other environments.
resource "aws_iam_role_policy_attachment" "apply" {
  for_each = local.apply_roles

  role       = aws_iam_role.github[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/PowerUserAccess"
}

resource "aws_iam_role_policy" "apply" {
  for_each = local.apply_roles

  name = "apply-environment"
  role = aws_iam_role.github[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], Resource = "${local.state}/${each.value.environment}/*" },
        { Effect = "Allow", Action = ["s3:GetObject"], Resource = "${local.state}/plans/${each.value.environment}/*" },
        {
          Effect   = "Deny"
          Action   = ["s3:*"]
          Resource = flatten([for other in setsubtract(var.environments, [each.value.environment]) : ["${local.state}/${other}/*", "${local.state}/plans/${other}/*"]])
        },
        { Effect = "Deny", Action = ["s3:PutObject"], Resource = "${local.state}/plans/*" },
        # Roles and their policies, limited by the permissions boundary.
        {
          Effect    = "Allow"
          Action    = ["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"]
          Resource  = "arn:${local.partition}:iam::${local.account}:role/voting-app-${each.value.environment}-*"
          Condition = { StringEquals = { "iam:PermissionsBoundary" = aws_iam_policy.boundary[each.key].arn } }
        },
        {
          Effect = "Allow"
          Action = [
            "iam:DeleteRole", "iam:GetRole", "iam:TagRole", "iam:PassRole", "iam:UpdateAssumeRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies",
            "iam:GetRolePolicy", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:ListInstanceProfilesForRole",
            "iam:CreateInstanceProfile", "iam:GetInstanceProfile", "iam:DeleteInstanceProfile", "iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
          ]
          Resource = [
            "arn:${local.partition}:iam::${local.account}:role/voting-app-${each.value.environment}-*",
            "arn:${local.partition}:iam::${local.account}:instance-profile/voting-app-${each.value.environment}-*",
          ]
        },
      ],
      local.deny_other_environments[each.key],
    )
  })
}

locals {
  deny_other_environments = { for key, role in local.apply_roles : key => [{
    Effect    = "Deny"
    Action    = ["*"]
    Resource  = ["*"]
    Condition = { StringEquals = { "aws:ResourceTag/Environment" = sort(tolist(setsubtract(var.environments, [role.environment]))) } }
  }] if length(var.environments) > 1 }
}

# Permissions boundary of an environment's roles: the permissions that machines, snapshots and flow logs need.
resource "aws_iam_policy" "boundary" {
  for_each = local.apply_roles

  name        = "voting-app-${each.value.environment}-boundary"
  description = "Permissions boundary of the roles of voting-app-${each.value.environment}"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Effect = "Allow"
        Action = [
          "autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth",
          "cloudwatch:PutMetricData",
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer",
          "ec2:CreateSnapshot", "ec2:CreateSnapshots", "ec2:CreateTags", "ec2:DeleteSnapshot", "ec2:Describe*",
          "kms:Decrypt", "kms:GenerateDataKey",
          "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents",
          "secretsmanager:GetSecretValue",
          "sns:Publish",
          "ssm:GetParameter", "ssm:UpdateInstanceInformation",
          "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
        ]
        Resource = "*"
      }],
      local.deny_other_environments[each.key],
    )
  })
}
