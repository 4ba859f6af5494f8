# What the machines may do: be entered through Session Manager, send logs and metrics, and what their role needs.

locals {
  group_statements = var.single ? [] : [{
    actions   = ["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"]
    condition = {}
    resources = ["arn:${data.aws_partition.this.partition}:autoscaling:${local.aws_region}:${data.aws_caller_identity.this.account_id}:autoScalingGroup:*:autoScalingGroupName/${var.name}"]
  }]

  # What Session Manager needs, and no more: AmazonSSMManagedInstanceCore reads every parameter of the account. As in
  # https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html
  session_statements = [{
    actions = [
      "ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"]
    condition = {}
  }]

  # Images in ECR. The token is for all registries that the role may read, so its action knows no resources. As in
  # https://docs.aws.amazon.com/AmazonECR/latest/userguide/security_iam_id-based-policy-examples.html
  image_statements = flatten([for ecr in local.ecr[*] : [
    { actions = ["ecr:GetAuthorizationToken"], resources = ["*"], condition = {} },
    {
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [for service in local.services : "arn:${data.aws_partition.this.partition}:ecr:${ecr.region}:${ecr.account}:repository/${ecr.path}/${service}"]
      condition = {}
    },
  ]])

  log_statements = [{
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = ["${var.log_group.arn}:*"]
    condition = {}
  }]
}

resource "aws_iam_role" "this" {
  name_prefix          = "${var.name}-"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "role-${var.role}"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for statement in concat(local.group_statements, local.session_statements, local.image_statements, local.log_statements, var.statements) : merge(
        { Effect = "Allow", Action = statement.actions, Resource = statement.resources },
        { for key, value in { Condition = statement.condition } : key => value if length(value) > 0 },
      )],
      [{
        # The agent's own numbers. This action knows no resources; the condition says which numbers.
        Effect    = "Allow"
        Action    = ["cloudwatch:PutMetricData"]
        Resource  = ["*"]
        Condition = { StringEquals = { "cloudwatch:namespace" = "VotingApp" } }
        }, {
        # It asks for its machine's tags, and there is no narrower way to allow that.
        Effect   = "Allow"
        Action   = ["ec2:DescribeTags"]
        Resource = ["*"]
      }],
    )
  })
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.this.name
}
