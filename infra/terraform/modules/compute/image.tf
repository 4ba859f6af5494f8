# The image of Debian 13 that machines start from. It changes by pull request (.github/workflows/machine-image.yml), and an apply
# replaces machines for its sake only then.

locals {
  image_version = "20260914-2601"
}

# By name, which is the same in all regions. The owner is Debian: https://wiki.debian.org/Cloud/AmazonEC2Image
data "aws_ami" "this" {
  owners = ["136693071363"]
  # Two years after its publication an image is deprecated; machines start from it none the less.
  include_deprecated = true

  filter {
    name   = "name"
    values = ["debian-13-${var.architecture}-${local.image_version}"]
  }
}
