locals {
  pages = var.enable_alb ? module.alb["this"].urls : {
    vote   = "http://${module.everything["this"].address}:${local.ports.vote}/"
    result = "http://${module.everything["this"].address}:${local.ports.result}/"
  }
  region  = data.aws_region.this.region
  grafana = module.monitoring.host

  by_tag = "aws ssm start-session --region ${local.region} --target \"$(aws ec2 describe-instances --region ${local.region} --filters Name=tag:Environment,Values=${var.environment} Name=tag:Role,Values=ROLE Name=instance-state-name,Values=running --query 'Reservations[0].Instances[0].InstanceId' --output text)\""
}

output "urls" {
  description = "URLs of the pages"
  value       = local.pages
}

output "shell_commands" {
  description = "Commands that open a shell on a machine, by Session Manager"
  value = merge(
    { for role in(var.single_instance ? ["everything"] : ["front", "worker"]) : role => replace(local.by_tag, "ROLE", role) },
    { for role in ["monitoring"] : role => replace(local.by_tag, "ROLE", role) if var.repository != null },
  )
}

output "grafana" {
  description = "URL of Grafana, and commands that open a tunnel to it by Session Manager and print its password. null without a monitoring machine"
  value = local.grafana == null ? null : {
    url      = length(var.admin_cidrs) > 0 ? "http://${local.grafana.address}:${local.ports.grafana}/" : "http://localhost:${local.ports.grafana}/"
    tunnel   = "aws ssm start-session --region ${local.region} --target ${local.grafana.instance_id} --document-name AWS-StartPortForwardingSession --parameters portNumber=${local.ports.grafana},localPortNumber=${local.ports.grafana}"
    password = "aws ssm get-parameter --region ${local.region} --name ${module.secrets.names["grafana-admin-password"]} --with-decryption --query Parameter.Value --output text"
  }
}

output "dashboard" {
  description = "URL of the dashboard in CloudWatch"
  value       = "https://${local.region}.console.aws.amazon.com/cloudwatch/home?region=${local.region}#dashboards/dashboard/${module.monitoring.dashboard}"
}

output "groups" {
  description = "Names of the auto scaling groups"
  value       = concat([for front in module.front : front.group_name], [for worker in module.worker : worker.group_name])
}

output "user_data" {
  description = "User data of the machines, by role; it contains no secrets"
  value = merge(
    { for release, front in module.front : "front-${release}" => front.user_data },
    { for worker in module.worker : "worker" => worker.user_data },
    { for everything in module.everything : "everything" => everything.user_data },
    module.monitoring.host == null ? {} : { monitoring = module.monitoring.host.user_data },
  )
}
