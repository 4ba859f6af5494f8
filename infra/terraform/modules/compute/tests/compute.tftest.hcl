mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "ap-northeast-2" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_ami" {
    defaults = { id = "ami-0123456789abcdef0" }
  }
  mock_resource "aws_ebs_volume" {
    defaults = { id = "vol-0123456789abcdef0" }
  }
}

variables {
  name               = "voting-app-test-front-blue"
  environment        = "test"
  role               = "front"
  subnet_ids         = ["subnet-a", "subnet-b"]
  security_group_ids = ["sg-front"]
  target_group_arns  = { vote = "arn:vote", result = "arn:result" }
  instance_types     = ["t4g.small", "t4g.medium"]
  size               = { min = 2, desired = 2, max = 6 }
  images             = { registry = "ghcr.io/example/voting-app", tag = "1.0.0" }
  settings           = { parameter = "/voting-app-test/settings", version = 3 }
  log_group          = { name = "/voting-app-test/services", arn = "arn:aws:logs:ap-northeast-2:123456789012:log-group:/voting-app-test/services" }
  secrets = {
    "vote/queue-url"   = { from = "/voting-app-test/secrets/vote-queue-password", template = "rediss://vote:{}@queue:6379" }
    "result/store-url" = { from = "/voting-app-test/secrets/result-store-password" }
    "vote/cookie-key"  = { from = "/voting-app-test/secrets/cookie-key" }
  }
  statements = [{ actions = ["ssm:GetParameter"], resources = ["arn:secret"] }]
}

run "a_machine_allows_session_manager_and_reads_only_its_own_parameters" {
  assert {
    condition     = toset([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : jsonencode(statement.Resource) if contains(statement.Action, "ssm:GetParameter")]) == toset([jsonencode(["arn:secret"])])
    error_message = "A machine may read parameters of others."
  }

  assert {
    condition     = contains(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action]), "ssmmessages:OpenDataChannel")
    error_message = "Session Manager cannot open a shell on a machine."
  }
}

run "machines_are_private_encrypted_and_monitored" {
  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required" && aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv1 is enabled, or containers reach the machine's role."
  }

  assert {
    condition     = aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted == "true" && aws_launch_template.this.block_device_mappings[0].ebs[0].volume_type == "gp3" && aws_launch_template.this.ebs_optimized == "true"
    error_message = "The root disk is not an encrypted gp3, or the machine is not EBS-optimized."
  }

  assert {
    condition     = aws_launch_template.this.monitoring[0].enabled && aws_launch_template.this.network_interfaces[0].associate_public_ip_address == "false"
    error_message = "Detailed monitoring is off, or there is an unnecessary public address."
  }

  assert {
    condition     = aws_launch_template.this.image_id == "ami-0123456789abcdef0" && one(one(data.aws_ami.this.filter).values) == "debian-13-arm64-${local.image_version}" && data.aws_ami.this.owners == tolist(["136693071363"]) && data.aws_ami.this.most_recent != true
    error_message = "The image is not the pinned one, so an apply may replace machines although nothing has changed."
  }
}

run "prometheus_finds_machines_by_their_tags" {
  assert {
    condition     = alltrue([for specification in aws_launch_template.this.tag_specifications : specification.tags["Project"] == "voting-app" && specification.tags["Environment"] == "test" && specification.tags["Role"] == "front"])
    error_message = "Machines or disks lack the tags Project, Environment or Role."
  }

  assert {
    condition     = toset([for specification in aws_launch_template.this.tag_specifications : specification.resource_type]) == toset(["instance", "volume", "network-interface"]) && length([for tag in aws_autoscaling_group.this["this"].tag : tag if tag.key == "Role" && tag.propagate_at_launch]) == 1
    error_message = "Instances and volumes must both be tagged."
  }
}

run "a_machine_enters_service_when_ready_and_terminates_when_drained" {
  assert {
    condition     = length([for hook in aws_autoscaling_group.this["this"].initial_lifecycle_hook : hook if hook.name == "ready" && hook.lifecycle_transition == "autoscaling:EC2_INSTANCE_LAUNCHING" && hook.default_result == "ABANDON"]) == 1
    error_message = "A machine whose services do not start would be kept."
  }

  assert {
    condition     = length([for hook in aws_autoscaling_group.this["this"].initial_lifecycle_hook : hook if hook.name == "drained" && hook.lifecycle_transition == "autoscaling:EC2_INSTANCE_TERMINATING" && hook.heartbeat_timeout > 35]) == 1
    error_message = "A machine would be terminated before it has drained."
  }

  assert {
    condition     = aws_autoscaling_group.this["this"].instance_refresh[0].preferences[0].min_healthy_percentage == 100
    error_message = "A bad release would remain, or old machines would be terminated before new ones are ready."
  }

  assert {
    condition     = aws_autoscaling_group.this["this"].health_check_grace_period == 600 && aws_autoscaling_group.this["this"].health_check_type == "EC2"
    error_message = "Machines would be replaced during boot, or because the queue is unreachable."
  }
}

run "a_group_spans_subnets_serves_its_targets_and_has_several_instance_types" {
  variables {
    requests_target = { label = "app/x/1/targetgroup/y/2", per_minute = 6000 }
  }

  assert {
    condition     = toset(aws_autoscaling_group.this["this"].vpc_zone_identifier) == toset(["subnet-a", "subnet-b"]) && toset(aws_autoscaling_group.this["this"].target_group_arns) == toset(["arn:vote", "arn:result"])
    error_message = "The group is not in all its subnets, or not in its target groups."
  }

  assert {
    condition     = [for override in aws_autoscaling_group.this["this"].mixed_instances_policy[0].launch_template[0].override : override.instance_type] == ["t4g.small", "t4g.medium"]
    error_message = "The group does not use the given instance types."
  }

  assert {
    condition     = aws_autoscaling_policy.cpu["this"].target_tracking_configuration[0].target_value == 50 && aws_autoscaling_policy.requests["this"].target_tracking_configuration[0].predefined_metric_specification[0].resource_label == "app/x/1/targetgroup/y/2"
    error_message = "The group must scale by CPU utilization and by requests."
  }

  assert {
    condition     = length(aws_instance.this) == 0 && length(aws_ebs_volume.this) == 0
    error_message = "A group must not have a single machine as well."
  }
}

run "the_role_allows_only_the_statements_and_its_own_group" {
  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action])) == toset([
      "autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "ssm:GetParameter", "cloudwatch:PutMetricData", "ec2:DescribeTags",
      "ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    ])
    error_message = "The role's permissions differ from the expected ones."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : endswith(one(statement.Resource), "autoScalingGroupName/voting-app-test-front-blue") if contains(statement.Action, "autoscaling:SetInstanceHealth")])
    error_message = "The role can act on other groups."
  }

  assert {
    condition     = toset([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : join(",", statement.Action) if contains(statement.Resource, "*")]) == toset(["cloudwatch:PutMetricData", "ec2:DescribeTags", join(",", local.session_statements[0].actions)])
    error_message = "An action is allowed on all resources although it supports narrower ones."
  }
}

run "user_data_has_services_images_settings_and_secrets" {
  assert {
    condition     = strcontains(output.user_data, "IMAGES=ghcr.io/example/voting-app") && strcontains(output.user_data, "TAG=1.0.0") && strcontains(output.user_data, "export SERVICES='vote result'") && strcontains(output.user_data, "export SETTINGS_VERSION='3'")
    error_message = "User data lacks services, images or settings."
  }

  assert {
    condition     = strcontains(output.user_data, "vote/queue-url /voting-app-test/secrets/vote-queue-password rediss://vote:{}@queue:6379")
    error_message = "User data lacks the source or the destination of a secret."
  }

  assert {
    # Before encoding, as in https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
    condition     = length(base64gzip(output.user_data)) / 4 * 3 < 16384
    error_message = "EC2 limits user data to 16 KB."
  }
}

run "a_machine_pulls_its_own_images_from_ecr_by_its_role" {
  variables {
    images = { registry = "210987654321.dkr.ecr.eu-central-1.amazonaws.com/team/voting-app", tag = "1.0.0", pull_secret = "/voting-app-test/secrets/image-pull-secret" }
  }

  assert {
    condition = { for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : join(" ", statement.Action) => statement.Resource if startswith(statement.Action[0], "ecr:") } == {
      "ecr:GetAuthorizationToken"                                                    = ["*"]
      "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer" = [for service in ["vote", "result"] : "arn:aws:ecr:eu-central-1:210987654321:repository/team/voting-app/${service}"]
    }
    error_message = "The machine cannot pull its images, or has further permissions in ECR."
  }

  assert {
    condition     = strcontains(output.user_data, "export ECR_REGION='eu-central-1'\nexport ECR_REGISTRY='210987654321.dkr.ecr.eu-central-1.amazonaws.com'")
    error_message = "User data lacks the ECR registry."
  }

  assert {
    condition     = !strcontains(output.user_data, "\nregistry:")
    error_message = "The machine uses a pull secret, which ECR does not accept."
  }
}

run "a_machine_pulls_images_from_another_registry_with_a_secret" {
  variables {
    images = { registry = "ghcr.io/example/voting-app", tag = "1.0.0", pull_secret = "/voting-app-test/secrets/image-pull-secret" }
  }

  assert {
    condition     = strcontains(output.user_data, "\nregistry:ghcr.io /voting-app-test/secrets/image-pull-secret {}") && strcontains(output.user_data, "export ECR_REGISTRY=''")
    error_message = "The machine does not log in to its registry."
  }

  assert {
    condition     = length([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement if startswith(statement.Action[0], "ecr:")]) == 0
    error_message = "The machine has permissions in ECR without images there."
  }
}

run "docker_hub_has_another_name_in_docker_s_configuration" {
  variables {
    images = { registry = "docker.io/example", tag = "1.0.0", pull_secret = "/voting-app-test/secrets/image-pull-secret" }
  }

  assert {
    condition     = strcontains(output.user_data, "\nregistry:https://index.docker.io/v1/ /voting-app-test/secrets/image-pull-secret {}")
    error_message = "Docker would not find the login."
  }
}

run "a_single_machine_keeps_its_disk_and_is_recovered" {
  variables {
    role            = "everything"
    single_instance = true
    zone            = "ap-northeast-2a"
    alarm_topic_arn = "arn:topic"
    public_address  = true
  }

  assert {
    condition     = aws_ebs_volume.this["this"].encrypted && aws_ebs_volume.this["this"].final_snapshot && aws_volume_attachment.this["this"].volume_id == aws_ebs_volume.this["this"].id
    error_message = "The data disk is not encrypted, deleted with the machine, or not attached."
  }

  assert {
    condition     = contains(aws_cloudwatch_metric_alarm.recovery["this"].alarm_actions, "arn:aws:automate:ap-northeast-2:ec2:recover") && contains(aws_cloudwatch_metric_alarm.recovery["this"].alarm_actions, "arn:topic")
    error_message = "The machine is not recovered, or its alarms have no receiver."
  }

  assert {
    condition     = length(aws_launch_template.this.network_interfaces) == 0 && toset([for specification in aws_launch_template.this.tag_specifications : specification.resource_type]) == toset(["instance", "volume"])
    error_message = "The template creates or tags a network interface, but the machine has one already."
  }

  assert {
    condition     = aws_instance.this["this"].primary_network_interface[0].network_interface_id == aws_network_interface.this["this"].id && aws_network_interface.this["this"].subnet_id == "subnet-a" && toset(aws_network_interface.this["this"].security_groups) == toset(["sg-front"])
    error_message = "The machine's interface is not the persistent one, or in another subnet or group."
  }

  assert {
    condition     = aws_eip.this["this"].network_interface == aws_network_interface.this["this"].id && output.address == aws_eip.this["this"].public_ip
    error_message = "A new machine would have another address."
  }

  assert {
    condition     = length(aws_autoscaling_group.this) == 0 && toset([for attachment in aws_lb_target_group_attachment.this : attachment.target_group_arn]) == toset(["arn:vote", "arn:result"])
    error_message = "The machine must belong to no auto scaling group, and to the target groups."
  }

  assert {
    condition     = strcontains(output.user_data, "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0") && strcontains(output.user_data, "export GROUP=''")
    error_message = "User data lacks the data disk, or names a group."
  }

  assert {
    condition     = aws_dlm_lifecycle_policy.this["this"].policy_details[0].target_tags["Snapshots"] == aws_ebs_volume.this["this"].tags["Snapshots"]
    error_message = "The disk has no snapshots."
  }
}

run "containers_cannot_use_the_role_of_the_monitoring_machine" {
  variables {
    role            = "monitoring"
    single_instance = true
    zone            = "ap-northeast-2a"
    playbook        = { repository = "https://github.com/example/voting-app.git", ref = "v1.0.0", variables = {} }
  }

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1 && aws_launch_template.this.metadata_options[0].http_tokens == "required"
    error_message = "Containers with networks of their own reach the machine's role."
  }
}

run "an_unknown_role_is_rejected" {
  command = plan

  variables {
    role = "database"
  }

  expect_failures = [var.role]
}

run "everything_in_a_group_is_rejected" {
  command = plan

  variables {
    role = "everything"
  }

  expect_failures = [var.single_instance]
}

run "a_group_in_one_zone_is_rejected" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "a_single_machine_without_a_zone_is_rejected" {
  command = plan

  variables {
    single_instance = true
  }

  expect_failures = [var.zone]
}

run "a_minimum_above_the_maximum_is_rejected" {
  command = plan

  variables {
    size = { min = 3, desired = 3, max = 2 }
  }

  expect_failures = [var.size]
}

run "a_negative_number_of_machines_is_rejected" {
  command = plan

  variables {
    size = { min = -1, desired = 0, max = 1 }
  }

  expect_failures = [var.size]
}

run "an_unknown_instance_type_is_rejected" {
  command = plan

  variables {
    instance_types = ["t4g.gigantic"]
  }

  expect_failures = [var.instance_types]
}

run "an_instance_type_of_another_architecture_is_rejected" {
  command = plan

  variables {
    instance_types = ["t3.small"]
  }

  expect_failures = [var.instance_types]
}

run "an_unknown_architecture_is_rejected" {
  command = plan

  variables {
    architecture   = "riscv64"
    instance_types = ["t3.small"]
  }

  expect_failures = [var.architecture]
}

run "the_tag_latest_is_rejected" {
  command = plan

  variables {
    images = { registry = "ghcr.io/example/voting-app", tag = "latest" }
  }

  expect_failures = [var.images]
}

run "a_registry_without_a_path_is_rejected" {
  command = plan

  variables {
    images = { registry = "ghcr.io", tag = "1.0.0" }
  }

  expect_failures = [var.images]
}

run "a_template_without_its_secret_is_rejected" {
  command = plan

  variables {
    secrets = { "vote/queue-url" = { from = "/x", template = "redis://queue" } }
  }

  expect_failures = [var.secrets]
}

run "a_monitoring_machine_without_a_playbook_is_rejected" {
  command = plan

  variables {
    role            = "monitoring"
    single_instance = true
    zone            = "ap-northeast-2a"
  }

  expect_failures = [var.playbook]
}

run "a_wildcard_action_is_rejected" {
  command = plan

  variables {
    statements = [{ actions = ["ssm:*"], resources = ["*"] }]
  }

  expect_failures = [var.statements]
}

run "spot_percent_above_100_is_rejected" {
  command = plan

  variables {
    spot_percent = 101
  }

  expect_failures = [var.spot_percent]
}

run "a_cpu_target_of_100_is_rejected" {
  command = plan

  variables {
    cpu_target = 100
  }

  expect_failures = [var.cpu_target]
}

run "a_drain_of_an_hour_is_rejected" {
  command = plan

  variables {
    drain_seconds = 3600
  }

  expect_failures = [var.drain_seconds]
}

run "a_boot_time_of_10_seconds_is_rejected" {
  command = plan

  variables {
    boot_seconds = 10
  }

  expect_failures = [var.boot_seconds]
}

run "a_root_disk_that_is_too_small_is_rejected" {
  command = plan

  variables {
    root_volume_size = 2
  }

  expect_failures = [var.root_volume_size]
}

run "a_data_disk_that_is_too_small_is_rejected" {
  command = plan

  variables {
    data_volume_size = 1
  }

  expect_failures = [var.data_volume_size]
}

run "an_invalid_snapshot_is_rejected" {
  command = plan

  variables {
    data_snapshot = "yesterday"
  }

  expect_failures = [var.data_snapshot]
}

run "zero_snapshots_are_rejected" {
  command = plan

  variables {
    snapshot_retention_days = 0
  }

  expect_failures = [var.snapshot_retention_days]
}

run "a_name_with_capitals_and_spaces_is_rejected" {
  command = plan

  variables {
    name = "Voting App"
  }

  expect_failures = [var.name]
}
