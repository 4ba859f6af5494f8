# The stages of the checks, each a command of its own. `just` alone lists them.

_default:
    @just --list --unsorted

# Everything, as continuous integration runs it
ci:
    .ci/run

# Format, lints, documentation, licences, scripts, container files and workflows
lint:
    .ci/stage lint

# Unit and integration tests
test:
    .ci/stage test

# The pages in a real browser
browser:
    .ci/stage browser

# The images, the compose stack and the Swarm
compose:
    .ci/stage compose

# Faults, and workers broken on purpose
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

# Made-up requests and slow clients
attacks:
    .ci/stage attacks

# Small versions of all benches
speed:
    .ci/stage speed

# The licences of all crates in the programs, written anew
licenses:
    .ci/checks/licenses --write

# The tables of inputs and outputs in Terraform's READMEs, written anew
terraform-readmes:
    .ci/checks/terraform-readmes --write
