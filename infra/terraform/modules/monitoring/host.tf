# The machine of Prometheus and Grafana. It discovers the other machines by their tags and has no other access to them.

module "host" {
  source   = "../compute"
  for_each = var.host == null ? toset([]) : toset(["this"])

  name                     = "${var.name}-monitoring"
  environment              = var.environment
  role                     = "monitoring"
  single_instance          = true
  zone                     = var.host.zone
  subnet_ids               = var.host.subnet_ids
  public_address           = var.host.public_address
  security_group_ids       = var.host.security_group_ids
  architecture             = var.host.architecture
  instance_types           = [var.host.instance_type]
  playbook                 = merge(var.host.playbook, { variables = merge(var.host.playbook.variables, { alert_topic_arn = aws_sns_topic.alarms.arn }) })
  secrets                  = var.host.secrets
  store                    = var.host.store
  log_group                = { name = aws_cloudwatch_log_group.services.name, arn = aws_cloudwatch_log_group.services.arn }
  alarm_topic_arn          = aws_sns_topic.alarms.arn
  permissions_boundary_arn = var.permissions_boundary_arn

  statements = concat(var.host.statements, [
    # Discovery: these actions support no resources.
    { actions = ["ec2:DescribeInstances", "ec2:DescribeAvailabilityZones"], resources = ["*"], condition = {} },
    # Alerts are sent to the topic of the alarms unless they have receivers of their own.
    { actions = ["sns:Publish"], resources = [aws_sns_topic.alarms.arn], condition = {} },
    { actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [aws_kms_key.this.arn], condition = {} },
  ])
}
