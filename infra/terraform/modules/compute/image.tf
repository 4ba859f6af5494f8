# The Debian 13 image of the machines. A pull request changes it (.github/workflows/machine-image.yml); only then does an apply
# replace machines because of the image.

locals {
  image_version = "20260914-2601"
}

# By name, which is the same in all regions. The owner is Debian: https://wiki.debian.org/Cloud/AmazonEC2Image
data "aws_ami" "this" {
  owners = ["136693071363"]
  # An image is deprecated two years after its publication. Machines can still start from it.
  include_deprecated = true

  filter {
    name   = "name"
    values = ["debian-13-${var.architecture}-${local.image_version}"]
  }
}
