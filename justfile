# One command for each stage of the checks. `just` without arguments lists them.

_default:
    @just --list --unsorted

# All stages
ci:
    .ci/run

# Formatting, spelling, lints, documentation, licences, scripts, container files and workflows
lint:
    .ci/stage lint

# Unit and integration tests
test:
    .ci/stage test

# The pages in real browsers
browser:
    .ci/stage browser

# The images, the compose stack and the Swarm
compose:
    .ci/stage compose

# Single and random faults, and workers broken on purpose
faults:
    .ci/stage faults

# Rules, dashboards and the monitoring stack
monitoring:
    .ci/stage monitoring

# Terraform
infrastructure:
    .ci/stage infrastructure

# Kubernetes manifests
kubernetes:
    .ci/stage kubernetes

# OpenAPI documents, generated requests, fuzz targets and slow clients
attacks:
    .ci/stage attacks

# Behaviour under overload, and short versions of all benches
speed:
    .ci/stage speed

# Regenerates the licences of all crates in the programs
licenses:
    .ci/checks/licenses --write

# Regenerates the tables of inputs and outputs in Terraform's READMEs
terraform-readmes:
    .ci/checks/terraform-readmes --write
