# The queue (ballots) and the store (votes) as AWS services. If both run as containers on the application's single machine, this
# module creates nothing.

locals {
  store_logs  = ["postgresql", "upgrade"]
  store_count = var.store == "rds" ? toset(["this"]) : toset([])
  memorydb    = var.queue == "memorydb" ? toset(["this"]) : toset([])
  elasticache = var.queue == "elasticache" ? toset(["this"]) : toset([])

  # Suffix of the final snapshot's name. A replacement needs another name for its own.
  last = "${var.name}-last-${formatdate("YYYYMMDD-hhmm", plantimestamp())}"
}
