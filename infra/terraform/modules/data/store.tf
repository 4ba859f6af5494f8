resource "aws_db_subnet_group" "this" {
  for_each = local.rds

  name_prefix = "${var.name}-"
  subnet_ids  = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  for_each = local.rds

  name_prefix = "${var.name}-"
  family      = "postgres18" # requires TLS by default

  # Logs statements that take longer than a second.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # Voters are random, so the first change of a page after a checkpoint writes the full page to the WAL: fewer checkpoints make a
  # smaller WAL. In MB, a tenth of the disk.
  parameter {
    name  = "max_wal_size"
    value = tostring(floor(var.store_allocated_storage * 1024 / 10))
  }

  # In seconds.
  parameter {
    name  = "checkpoint_timeout"
    value = "900"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# RDS would create these log groups itself, without an expiry.
resource "aws_cloudwatch_log_group" "store" {
  for_each = var.store == "rds" ? toset(local.store_logs) : toset([])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_db_instance" "this" {
  for_each = local.rds

  identifier = var.name

  engine                     = "postgres"
  engine_version             = "18"
  auto_minor_version_upgrade = true
  parameter_group_name       = aws_db_parameter_group.this[each.key].name
  ca_cert_identifier         = "rds-ca-rsa2048-g1"

  instance_class        = var.store_instance_class
  storage_type          = "gp3"
  allocated_storage     = var.store_allocated_storage
  max_allocated_storage = 4 * var.store_allocated_storage
  storage_encrypted     = true

  db_name                     = "voting"
  username                    = "voting_admin"
  manage_master_user_password = true
  port                        = var.ports.database

  db_subnet_group_name   = aws_db_subnet_group.this[each.key].name
  vpc_security_group_ids = [var.store_security_group_id]
  publicly_accessible    = false
  multi_az               = var.multi_az

  snapshot_identifier       = var.store_snapshot
  backup_retention_period   = var.backup_retention_days
  copy_tags_to_snapshot     = true
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = local.final_snapshot_name
  delete_automated_backups  = !var.deletion_protection

  performance_insights_enabled    = true
  enabled_cloudwatch_logs_exports = local.store_logs

  depends_on = [aws_cloudwatch_log_group.store]

  # Both are used only at creation.
  lifecycle {
    ignore_changes = [snapshot_identifier, final_snapshot_identifier]
  }
}
