locals {
  # The same permissions as in the compose stack, except for CONFIG, which AWS does not allow: vote adds ballots, worker moves them,
  # monitor reads the server's state. AWS's documentation of access strings does not list %R~, so monitor has ~ballots; none of its
  # commands writes (https://docs.aws.amazon.com/memorydb/latest/devguide/clusters.acls.html).
  queue_permissions = {
    vote    = "on resetchannels ~ballots ~ballots:probe -@all +ping +xadd +role +client|setinfo"
    worker  = "on resetchannels ~ballots -@all +ping +client|setinfo +xreadgroup +xautoclaim +xack +xpending +xtrim +xrange +xrevrange +xlen +xgroup|create +xgroup|setid +xgroup|delconsumer +xinfo|groups +xinfo|consumers +xinfo|stream +xsetid +script|load +evalsha|679db5c241cdaa1c21f134f0008311c8c9f0199a +evalsha|61e3d644ef179396966d75735d6b470b3b911b7c +evalsha|a1e3d12cfdb9f114f07ad0ce1549499460bc04fa"
    monitor = "on resetchannels ~ballots -@all +ping +select +info +client|setname +client|setinfo +slowlog|len +slowlog|get +latency|latest +latency|histogram +cluster|info +type +xlen +memory|usage"
  }
}

# MemoryDB acknowledges a write when it is in a log in at least two zones, so one node is enough to lose nothing. There is only one
# node because a service, like the exporter, connects to one address: a second node would be reached at the same address and would
# redirect. An exporter for more nodes needs REDIS_EXPORTER_IS_CLUSTER, and `cluster|slots` for its user
# (https://github.com/oliver006/redis_exporter/blob/v1.86.0/exporter/redis.go).

resource "aws_memorydb_subnet_group" "this" {
  for_each = local.memorydb

  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_memorydb_parameter_group" "this" {
  for_each = local.memorydb

  name   = var.name
  family = "memorydb_valkey7"

  # A full queue rejects ballots and never evicts one.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_memorydb_user" "this" {
  for_each = var.queue == "memorydb" ? local.queue_permissions : {}

  user_name     = "${var.name}-${each.key}"
  access_string = each.value

  authentication_mode {
    type      = "password"
    passwords = [var.queue_passwords[each.key]]
  }
}

resource "aws_memorydb_acl" "this" {
  for_each = local.memorydb

  name       = var.name
  user_names = [for user in aws_memorydb_user.this : user.user_name]
}

resource "aws_memorydb_cluster" "this" {
  for_each = local.memorydb

  name                       = var.name
  engine                     = "valkey"
  engine_version             = "7.3"
  auto_minor_version_upgrade = true
  parameter_group_name       = aws_memorydb_parameter_group.this[each.key].name
  node_type                  = var.queue_node_type
  num_shards                 = 1
  num_replicas_per_shard     = 0
  acl_name                   = aws_memorydb_acl.this[each.key].name
  tls_enabled                = true
  port                       = var.ports.queue
  subnet_group_name          = aws_memorydb_subnet_group.this[each.key].name
  security_group_ids         = [var.queue_security_group_id]
  snapshot_retention_limit   = var.backup_retention_days
  snapshot_name              = var.queue_snapshot
  final_snapshot_name        = local.final_snapshot_name

  # Both are used only at creation.
  lifecycle {
    ignore_changes = [snapshot_name, final_snapshot_name]
  }
}

# ElastiCache acknowledges a write before its replica has it: a failover is a minute shorter, and may lose the last votes.

resource "aws_elasticache_subnet_group" "this" {
  for_each = local.elasticache

  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  for_each = local.elasticache

  name   = var.name
  family = "valkey8"

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_user" "this" {
  for_each = var.queue == "elasticache" ? local.queue_permissions : {}

  user_id       = "${var.name}-${each.key}"
  user_name     = "${var.name}-${each.key}"
  engine        = "valkey"
  access_string = each.value

  authentication_mode {
    type      = "password"
    passwords = [var.queue_passwords[each.key]]
  }
}

resource "aws_elasticache_user_group" "this" {
  for_each = local.elasticache

  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [for user in aws_elasticache_user.this : user.user_id]
}

resource "aws_elasticache_replication_group" "this" {
  for_each = local.elasticache

  replication_group_id       = var.name
  description                = "Queue of ${var.name}"
  engine                     = "valkey"
  engine_version             = "8.2"
  auto_minor_version_upgrade = true
  parameter_group_name       = aws_elasticache_parameter_group.this[each.key].name
  node_type                  = var.queue_node_type
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  user_group_ids             = [aws_elasticache_user_group.this[each.key].user_group_id]
  transit_encryption_enabled = true
  at_rest_encryption_enabled = true
  port                       = var.ports.queue
  subnet_group_name          = aws_elasticache_subnet_group.this[each.key].name
  security_group_ids         = [var.queue_security_group_id]
  snapshot_retention_limit   = var.backup_retention_days
  snapshot_name              = var.queue_snapshot
  final_snapshot_identifier  = local.final_snapshot_name

  lifecycle {
    ignore_changes = [snapshot_name, final_snapshot_identifier]
  }
}
