# User data of the machines, built from files/. It contains no secrets: machines fetch them at boot.

locals {
  repository = "${path.module}/../../../.."

  # Parts of the image registry's name, if it is ECR.
  ecr = one([for found in regexall("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/(.+)$", var.images.registry) : { account = found[0], region = found[1], path = found[2] }])

  # Any other registry, by its name in Docker's configuration. Docker Hub has a different name there.
  registry = split("/", var.images.registry)[0]
  pull_secret = var.images.pull_secret == null || local.ecr != null ? {} : {
    "registry:${local.registry == "docker.io" ? "https://index.docker.io/v1/" : local.registry}" = { from = var.images.pull_secret, template = "{}" }
  }

  services = {
    front      = ["vote", "result"]
    worker     = ["worker"]
    everything = ["vote", "worker", "result"]
    monitoring = []
  }[var.role]

  # Exporters for containers on every machine, and for queue and store on the machine that runs them. The playbook deploys those of the
  # monitoring machine.
  exporters = {
    front      = ["cadvisor"]
    worker     = ["cadvisor"]
    everything = ["cadvisor", "redis-exporter", "postgres-exporter"]
    monitoring = []
  }[var.role]

  machine_env = {
    AWS_REGION         = local.aws_region
    AWS_DEFAULT_REGION = local.aws_region
    ENVIRONMENT        = var.environment
    ROLE               = var.role
    SERVICES           = join(" ", local.services)
    EXPORTERS          = join(" ", local.exporters)
    NAME               = var.name
    GROUP              = var.single_instance ? "" : var.name
    BOOT_SECONDS       = var.boot_seconds
    SETTINGS_PARAMETER = try(var.settings.parameter, "")
    # In a group, new settings replace the machines. A single machine fetches them itself.
    SETTINGS_VERSION = var.single_instance ? "" : try(tostring(var.settings.version), "")
    DATABASE_CA_URL  = try(var.store.ca_url, "")
    DATA_DEVICE      = var.single_instance ? "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${replace(aws_ebs_volume.this["this"].id, "-", "")}" : ""
    ECR_REGISTRY     = local.ecr == null ? "" : local.registry
    ECR_REGION       = try(local.ecr.region, "")
    PACKAGES         = var.role == "monitoring" ? "ansible-core git" : ""
    REPOSITORY_URL   = try(var.playbook.repository, "")
    REPOSITORY_REF   = try(var.playbook.ref, "")
  }

  # Variables of compose on every machine.
  deployment_env = {
    IMAGES         = var.images.registry
    PULL_POLICY    = "missing"
    TAG            = var.images.tag
    DRAIN_SECONDS  = var.drain_seconds
    STOP_SECONDS   = var.drain_seconds + 15
    SECRETS_FILE   = "./secrets.env"
    STORE_HOST     = try(var.store.address, "")
    STORE_PORT     = try(var.store.port, "")
    STORE_DATABASE = try(var.store.database, "")
    STORE_ADMIN    = try(var.store.admin, "")
  }

  cloudwatch_agent = {
    agent = { metrics_collection_interval = 60 }
    metrics = {
      namespace              = "VotingApp"
      append_dimensions      = { InstanceId = "$${aws:InstanceId}", AutoScalingGroupName = "$${aws:AutoScalingGroupName}" }
      aggregation_dimensions = [["InstanceId"], ["AutoScalingGroupName"]]
      metrics_collected = {
        mem  = { measurement = ["mem_used_percent"] }
        disk = { measurement = ["used_percent"], resources = ["/", "/var/lib/docker"], drop_device = true }
      }
    }
    logs = {
      logs_collected = {
        files = {
          collect_list = [
            { file_path = "/var/log/voting-app-boot.log", log_group_name = var.log_group.name, log_stream_name = "{instance_id}/boot" },
            { file_path = "/var/lib/docker/containers/*/*-json.log", log_group_name = var.log_group.name, log_stream_name = "{instance_id}/services", publish_multi_logs = true },
          ]
        }
      }
    }
  }

  programs = { for program in ["boot", "install", "secrets", "start", "lifecycle", "metadata", "watch", "report"] :
    "bin/${program}" => { mode = 755, content = file("${path.module}/files/${program}") }
  }

  config_files = {
    "machine.env"           = join("\n", [for name, value in local.machine_env : "export ${name}='${value}'"])
    "deployment.env"        = join("\n", [for name, value in local.deployment_env : "${name}=${value}"])
    "secrets.list"          = join("\n", [for path, secret in merge(var.secrets, local.pull_secret) : "${path} ${secret.from} ${secret.template}"])
    "cloudwatch-agent.json" = jsonencode(local.cloudwatch_agent)
    "watch.service"         = templatefile("${path.module}/files/watch.service.tftpl", { home = var.home })
  }

  # The compose stack of the repository's root, so that a laptop and AWS run the same.
  stack_sources = {
    # Monitoring has a machine of its own here, except for exporters.
    "docker-compose.yml"                             = replace(file("${local.repository}/docker-compose.yml"), "/(?m)^include: .*$/", "")
    "on-aws.yml"                                     = file("${path.module}/files/${var.role == "everything" ? "everything" : "fleet"}.yml")
    "infra/compose/make-secrets"                     = file("${local.repository}/infra/compose/make-secrets")
    "infra/compose/roles.sql"                        = file("${local.repository}/infra/compose/roles.sql")
    "infra/compose/check-database-version"           = file("${local.repository}/infra/compose/check-database-version")
    "infra/monitoring/compose.yml"                   = file("${local.repository}/infra/monitoring/compose.yml")
    "infra/monitoring/prometheus/docker-compose.yml" = file("${local.repository}/infra/monitoring/prometheus/docker-compose.yml")
  }

  # EC2 limits user data to 16 KB, so comments of YAML files are removed.
  stack = { for path, content in local.stack_sources : path => endswith(path, ".yml") ? replace(content, "/(?m)^ *#.*\n/", "") : content }

  files = merge(
    local.programs,
    { for path, content in local.config_files : path => { mode = 600, content = content } },
    { for path, content in local.stack : path => { mode = 644, content = content } if var.role != "monitoring" },
    { for path, content in { "monitoring.json" = jsonencode(try(var.playbook.variables, {})) } : path => { mode = 600, content = content } if var.role == "monitoring" },
  )

  user_data = templatefile("${path.module}/files/boot.sh.tftpl", { home = var.home, files = local.files })
}
