# Workflows on GitHub prove who they are with a token of GitHub's, so there are no keys to store. Pull requests may look;
# only a job of an environment, which people approve, may change that environment.

locals {
  github = var.github_repository == null ? toset([]) : toset(["this"])
  issuer = "token.actions.githubusercontent.com"

  subjects = var.github_repository == null ? {} : merge(
    { plan = "repo:${var.github_repository}:pull_request" },
    { for environment in var.environments : "apply-${environment}" => "repo:${var.github_repository}:environment:${environment}" },
  )
}

resource "aws_iam_openid_connect_provider" "github" {
  for_each = local.github

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
      Principal = { Federated = aws_iam_openid_connect_provider.github["this"].arn }
      Condition = { StringEquals = {
        "${local.issuer}:aud" = "sts.amazonaws.com"
        "${local.issuer}:sub" = each.value
      } }
    }]
  })
}

# A plan draws random passwords, too, and throws them away: ReadOnlyAccess does not allow that.
resource "aws_iam_role_policy" "plan" {
  for_each = local.github

  name = "random-passwords"
  role = aws_iam_role.github["plan"].id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["secretsmanager:GetRandomPassword"], Resource = "*" }]
  })
}

# A plan reads everything, secrets of the state included; it may write a lock and nothing else.
resource "aws_iam_role_policy_attachment" "plan" {
  for_each = local.github

  role       = aws_iam_role.github["plan"].name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "state" {
  for_each = local.subjects

  name = "state"
  role = aws_iam_role.github[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject"]
        Resource = each.key == "plan" ? "${aws_s3_bucket.state.arn}/*.tflock" : "${aws_s3_bucket.state.arn}/${trimprefix(each.key, "apply-")}/*"
      },
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:ListBucket"]
        Resource = [aws_s3_bucket.state.arn, "${aws_s3_bucket.state.arn}/*"]
      },
      {
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
        Resource = aws_dynamodb_table.locks.arn
      },
      {
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = aws_kms_key.state.arn
      },
    ]
  })
}

# What an environment is made of is nearly everything that AWS has; what workflows may not do is become somebody else.
resource "aws_iam_role_policy_attachment" "apply" {
  for_each = { for key, subject in local.subjects : key => subject if key != "plan" }

  role       = aws_iam_role.github[each.key].name
  policy_arn = "arn:aws:iam::aws:policy/PowerUserAccess"
}

resource "aws_iam_role_policy" "apply" {
  for_each = { for key, subject in local.subjects : key => subject if key != "plan" }

  name = "roles-of-the-application"
  role = aws_iam_role.github[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "iam:CreateRole", "iam:DeleteRole", "iam:GetRole", "iam:TagRole", "iam:PassRole", "iam:UpdateAssumeRolePolicy", "iam:ListRolePolicies", "iam:ListAttachedRolePolicies",
        "iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy", "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:ListInstanceProfilesForRole",
        "iam:CreateInstanceProfile", "iam:GetInstanceProfile", "iam:DeleteInstanceProfile", "iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
      ]
      Resource = [
        "arn:aws:iam::*:role/voting-app-${trimprefix(each.key, "apply-")}-*",
        "arn:aws:iam::*:instance-profile/voting-app-${trimprefix(each.key, "apply-")}-*",
      ]
    }]
  })
}
