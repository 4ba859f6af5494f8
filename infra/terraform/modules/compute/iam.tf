# Permissions of the machines: Session Manager, logs and metrics, and those that their role needs.

locals {
  group_statements = var.single_instance ? [] : [{
    actions   = ["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"]
    condition = {}
    resources = ["arn:${data.aws_partition.this.partition}:autoscaling:${local.aws_region}:${data.aws_caller_identity.this.account_id}:autoScalingGroup:*:autoScalingGroupName/${var.name}"]
  }]

  # The minimum that Session Manager needs. AmazonSSMManagedInstanceCore would allow reading every parameter of the account. See
  # https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html
  session_statements = [{
    actions = [
      "ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"]
    condition = {}
  }]

  # Images in ECR. A token is valid for all registries that the role may read, so its action supports no resources. See
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
        # Metrics of the CloudWatch agent. This action supports no resources; the condition restricts the namespace.
        Effect    = "Allow"
        Action    = ["cloudwatch:PutMetricData"]
        Resource  = ["*"]
        Condition = { StringEquals = { "cloudwatch:namespace" = "VotingApp" } }
        }, {
        # The CloudWatch agent reads its machine's tags. This action supports no resources.
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
