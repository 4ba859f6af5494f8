# The machine of Prometheus and Grafana. It finds the others by their tags, and may do nothing else with them.

module "host" {
  source   = "../compute"
  for_each = var.host == null ? toset([]) : toset(["this"])

  name               = "${var.name}-monitoring"
  environment        = var.environment
  role               = "monitoring"
  single             = true
  zone               = var.host.zone
  subnet_ids         = var.host.subnet_ids
  public_address     = var.host.public_address
  security_group_ids = var.host.security_group_ids
  architecture       = var.host.architecture
  instance_types     = [var.host.instance_type]
  playbook           = var.host.playbook
  secrets            = { "grafana/admin-password" = { from = var.host.password_parameter.name } }
  log_group          = { name = aws_cloudwatch_log_group.services.name, arn = aws_cloudwatch_log_group.services.arn }
  alarm_topic_arn    = aws_sns_topic.alarms.arn

  statements = [
    # Discovery: these actions know no resources.
    { actions = ["ec2:DescribeInstances", "ec2:DescribeAvailabilityZones"], resources = ["*"] },
    { actions = ["ssm:GetParameter"], resources = [var.host.password_parameter.arn] },
  ]
}
