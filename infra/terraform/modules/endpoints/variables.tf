variable "name" {
  description = "Prefix of the names of resources, such as voting-app-dev"
  type        = string
}

variable "vpc_id" {
  description = "VPC of the endpoints"
  type        = string
}

variable "subnet_ids" {
  description = "Subnets that get an address of each endpoint, one per zone"
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the endpoints. null only without services"
  type        = string
  default     = null

  validation {
    condition     = var.security_group_id != null || length(var.services) == 0
    error_message = "Endpoints need a security_group_id: the network's default group would block all traffic."
  }
}

variable "services" {
  description = "AWS services that get an endpoint, as in AWS's names of endpoints"
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.services, ["autoscaling", "ec2", "ec2messages", "ecr.api", "ecr.dkr", "kms", "logs", "monitoring", "secretsmanager", "sns", "ssm", "ssmmessages"])) == 0
    error_message = "services must be some of those that machines use: autoscaling, ec2, ec2messages, ecr.api, ecr.dkr, kms, logs, monitoring, secretsmanager, sns, ssm, ssmmessages."
  }
}
