output "store" {
  description = "Address, database and ARN of the administrator's secret of the store. null if it is self-hosted"
  value = one([for store in aws_db_instance.this : {
    address    = store.address
    database   = store.db_name
    admin      = store.username
    secret_arn = try(store.master_user_secret[0].secret_arn, "")
    identifier = store.identifier
  }])
}

output "queue" {
  description = "Address of the queue and prefix of its users' names. null if it is self-hosted"
  value = one(concat(
    [for queue in aws_memorydb_cluster.this : { address = try(queue.cluster_endpoint[0].address, ""), user_prefix = "${var.name}-", identifier = queue.name }],
    [for queue in aws_elasticache_replication_group.this : { address = queue.primary_endpoint_address, user_prefix = "${var.name}-", identifier = queue.replication_group_id }],
  ))
}
