# The queue (ballots) and the store (votes) as AWS services. If both run as containers on the application's single machine, this
# module creates nothing.

locals {
  store_logs  = ["postgresql", "upgrade"]
  rds         = var.store == "rds" ? toset(["this"]) : toset([])
  memorydb    = var.queue == "memorydb" ? toset(["this"]) : toset([])
  elasticache = var.queue == "elasticache" ? toset(["this"]) : toset([])

  # Suffix of the final snapshot's name. A replacement needs another name for its own.
  final_snapshot_name = "${var.name}-final-${formatdate("YYYYMMDD-hhmm", plantimestamp())}"
}
