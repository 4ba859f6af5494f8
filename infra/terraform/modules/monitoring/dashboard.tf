# A dashboard: a graph with its threshold for each alarm, sorted by name, below a list of the alarms that are firing.

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type       = "alarm"
        x          = 0
        y          = 0
        width      = 24
        height     = 3
        properties = { title = "Alarms", alarms = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn] }
      }],
      [for index, name in keys(local.alarms) : {
        type   = "metric"
        x      = 8 * (index % 3)
        y      = 3 + 6 * floor(index / 3)
        width  = 8
        height = 6
        properties = {
          title       = local.alarms[name].description
          region      = data.aws_region.this.region
          period      = 60
          stat        = local.alarms[name].statistic
          metrics     = [concat([local.alarms[name].namespace, local.alarms[name].metric], flatten([for key, value in local.alarms[name].dimensions : [key, value]]))]
          annotations = { horizontal = [{ label = "alarm", value = local.alarms[name].threshold }] }
        }
      }],
    )
  })
}
