mock_provider "aws" {}

variables {
  name                    = "voting-app-test"
  subnet_ids              = ["subnet-a", "subnet-b"]
  store                   = "rds"
  queue                   = "memorydb"
  store_security_group_id = "sg-store"
  queue_security_group_id = "sg-queue"
  ports                   = { database = 5432, queue = 6379 }
  queue_passwords         = { vote = "a-password-of-the-vote-service", worker = "a-password-of-the-worker-service", monitor = "a-password-of-the-exporter" }
}

run "the_store_is_encrypted_private_and_has_a_managed_password" {
  assert {
    condition     = aws_db_instance.this["this"].storage_encrypted && !aws_db_instance.this["this"].publicly_accessible && aws_db_instance.this["this"].manage_master_user_password
    error_message = "The store's disk, network or password is not protected."
  }

  assert {
    # `rds.force_ssl` is 1 from version 15 on; setting a parameter to its default causes a difference in each plan.
    condition     = tonumber(trimprefix(aws_db_parameter_group.this["this"].family, "postgres")) >= 15 && !contains([for parameter in aws_db_parameter_group.this["this"].parameter : parameter.name], "rds.force_ssl") && aws_db_instance.this["this"].parameter_group_name == aws_db_parameter_group.this["this"].name
    error_message = "The store accepts connections without TLS, or each plan sets a parameter that has its default value."
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this["this"].parameter : "${parameter.name}=${parameter.value}"], "max_wal_size=2048")
    error_message = "The maximum size of the WAL must be a tenth of the store's 20 GB, or there are more checkpoints than necessary."
  }

  assert {
    condition     = tolist(aws_db_instance.this["this"].vpc_security_group_ids) == tolist(["sg-store"]) && aws_db_instance.this["this"].db_subnet_group_name == aws_db_subnet_group.this["this"].name
    error_message = "The store is not in its own subnets and group."
  }
}

run "production_has_deletion_protection_and_a_standby" {
  variables {
    multi_az            = true
    deletion_protection = true
  }

  assert {
    condition     = aws_db_instance.this["this"].multi_az && aws_db_instance.this["this"].deletion_protection && !aws_db_instance.this["this"].skip_final_snapshot && aws_db_instance.this["this"].final_snapshot_identifier != null
    error_message = "A store with deletion protection can be lost."
  }
}

run "a_store_without_deletion_protection_can_be_destroyed" {
  variables {
    deletion_protection = false
  }

  assert {
    condition     = !aws_db_instance.this["this"].deletion_protection && aws_db_instance.this["this"].skip_final_snapshot
    error_message = "A store without deletion protection cannot be deleted."
  }
}

run "a_restored_store_has_its_own_final_snapshot_name" {
  variables {
    store_snapshot = "a-snapshot"
    queue_snapshot = "another-one"
  }

  assert {
    condition     = can(regex("^voting-app-test-final-[0-9]{8}-[0-9]{4}$", aws_db_instance.this["this"].final_snapshot_identifier)) && can(regex("^voting-app-test-final-[0-9]{8}-[0-9]{4}$", aws_memorydb_cluster.this["this"].final_snapshot_name))
    error_message = "The final snapshot has the name of the previous one, so a second destroy fails."
  }
}

run "the_queue_is_durable_and_has_its_users" {
  assert {
    condition     = aws_memorydb_cluster.this["this"].tls_enabled && aws_memorydb_cluster.this["this"].acl_name == aws_memorydb_acl.this["this"].name && toset(aws_memorydb_acl.this["this"].user_names) == toset(["voting-app-test-vote", "voting-app-test-worker", "voting-app-test-monitor"])
    error_message = "The queue accepts connections without TLS, or from users without a password."
  }

  assert {
    condition     = aws_memorydb_user.this["monitor"].authentication_mode[0].passwords == toset(["a-password-of-the-exporter"]) && !can(regex("[+](x(add|range|read|info|trim|ack|del)|get|@|keys|scan)", aws_memorydb_user.this["monitor"].access_string))
    error_message = "The exporter's user can read or change ballots, or has the password of another user."
  }

  assert {
    condition     = aws_memorydb_cluster.this["this"].num_shards == 1 && aws_memorydb_cluster.this["this"].num_replicas_per_shard == 0
    error_message = "With more than one node, a service's connection may reach the wrong one."
  }

  assert {
    condition     = alltrue([for parameter in aws_memorydb_parameter_group.this["this"].parameter : parameter.value == "noeviction"])
    error_message = "A full queue would evict ballots."
  }

  assert {
    condition     = length(aws_elasticache_replication_group.this) == 0
    error_message = "There are two queues."
  }
}

run "elasticache_has_a_replica_encryption_and_the_same_users" {
  variables {
    queue           = "elasticache"
    queue_node_type = "cache.t4g.small"
  }

  assert {
    condition     = aws_elasticache_replication_group.this["this"].multi_az_enabled && aws_elasticache_replication_group.this["this"].automatic_failover_enabled && aws_elasticache_replication_group.this["this"].transit_encryption_enabled && aws_elasticache_replication_group.this["this"].at_rest_encryption_enabled
    error_message = "The queue is in one zone only, or not encrypted."
  }

  assert {
    condition     = toset(aws_elasticache_user_group.this["this"].user_ids) == toset([for user in aws_elasticache_user.this : user.user_id]) && length(aws_memorydb_cluster.this) == 0
    error_message = "The queue's users are not those of the services, or there are two queues."
  }
}

run "self_hosted_data_needs_no_resources" {
  variables {
    store = "self-hosted"
    queue = "self-hosted"
  }

  assert {
    condition     = output.store == null && output.queue == null && length(aws_db_instance.this) + length(aws_memorydb_cluster.this) + length(aws_elasticache_replication_group.this) + length(aws_memorydb_user.this) == 0
    error_message = "Queue and store are self-hosted, but resources would be created."
  }
}

run "an_unknown_store_is_rejected" {
  command = plan

  variables {
    store = "mysql"
  }

  expect_failures = [var.store]
}

run "an_unknown_queue_is_rejected" {
  command = plan

  variables {
    queue = "sqs"
  }

  expect_failures = [var.queue]
}

run "a_class_of_the_other_service_is_rejected" {
  command = plan

  variables {
    queue_node_type = "cache.t4g.small"
  }

  expect_failures = [var.queue_node_type]
}

run "a_store_class_of_ec2_is_rejected" {
  command = plan

  variables {
    store_instance_class = "t4g.small"
  }

  expect_failures = [var.store_instance_class]
}

run "a_disk_that_is_too_small_is_rejected" {
  command = plan

  variables {
    store_allocated_storage = 5
  }

  expect_failures = [var.store_allocated_storage]
}

run "backup_retention_of_a_year_is_rejected" {
  command = plan

  variables {
    backup_retention_days = 365
  }

  expect_failures = [var.backup_retention_days]
}

run "one_subnet_is_rejected" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "the_store_s_logs_expire" {
  variables {
    log_retention_days = 90
  }

  assert {
    condition     = toset([for group in aws_cloudwatch_log_group.store : group.name]) == toset([for log in aws_db_instance.this["this"].enabled_cloudwatch_logs_exports : "/aws/rds/instance/${aws_db_instance.this["this"].identifier}/${log}"]) && alltrue([for group in aws_cloudwatch_log_group.store : group.retention_in_days == 90])
    error_message = "RDS would create a log group without an expiry."
  }
}

run "a_self_hosted_store_has_no_log_groups" {
  command = plan

  variables {
    store = "self-hosted"
  }

  assert {
    condition     = length(aws_cloudwatch_log_group.store) == 0
    error_message = "There are log groups without a store."
  }
}

run "an_unsupported_log_retention_is_rejected" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}
