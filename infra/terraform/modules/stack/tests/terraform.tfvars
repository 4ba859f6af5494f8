# The variables of every run, unless a run sets others.

environment         = "test"
cidr                = "10.9.0.0/16"
nat_gateways        = "one"
single_instance     = false
enable_alb          = true
store               = "rds"
queue               = "memorydb"
deletion_protection = false
image_registry      = "ghcr.io/example/voting-app"
releases            = { blue = { tag = "1.0.0" } }
budget_usd          = 100
