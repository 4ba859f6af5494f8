# Where ballots wait (queue) and where votes are stored (store), as services of AWS. Both can instead be containers on the
# application's single machine, and then there is nothing here: see the two files that follow.

locals {
  store_logs  = ["postgresql", "upgrade"]
  store_count = var.store == "rds" ? toset(["this"]) : toset([])
  memorydb    = var.queue == "memorydb" ? toset(["this"]) : toset([])
  elasticache = var.queue == "elasticache" ? toset(["this"]) : toset([])

  # What is left of one that is destroyed. Its successor needs another name for the same.
  last = "${var.name}-last-${formatdate("YYYYMMDD-hhmm", plantimestamp())}"
}
