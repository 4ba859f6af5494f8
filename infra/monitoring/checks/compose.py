#!/usr/bin/env python3
"""Checks the compose files of monitoring as compose resolves them: no port is public, every image is pinned, containers have minimal
privileges, Grafana has no default password and keeps the plugins of its image, and all services except Grafana and cAdvisor start
without these two. Containers that mount files of the checkout can read them regardless of their modes. On AWS only services that
need the instance role use the host network. All files of the project use the same release of an image.
"""

import json
import re
import subprocess
import sys

import yaml

from stack import PROJECT

FILES = {
    "docker-compose.yml": {"monitoring-files", "prometheus", "alertmanager", "node-exporter", "blackbox-exporter", "redis-exporter", "postgres-exporter", "cadvisor", "grafana"},
    "infra/monitoring/prometheus/docker-compose.yml": {"prometheus", "alertmanager", "node-exporter", "blackbox-exporter", "redis-exporter", "postgres-exporter", "cadvisor"},
    "infra/monitoring/grafana/docker-compose.yml": {"grafana"},
}
# The metadata service of AWS does not respond to containers in other networks: Terraform allows one hop.
WITH_ROLE = {"prometheus", "alertmanager"}
# Services with a user interface; only Prometheus needs to reach the others.
PUBLISHED = {"prometheus", "alertmanager", "grafana"}


def services(file, *profiles, override=None):
    files = [PROJECT / file, *([(PROJECT / file).parent / override] if override else [])]
    command = ["docker", "compose", "--env-file", "/dev/null", *(f"--file={name}" for name in files), *(f"--profile={name}" for name in profiles), "config", "--format", "json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["services"]


def mounts(it, source):
    """Returns the bind mounts with a source below a path."""
    return [volume for volume in it.get("volumes", []) if volume["type"] == "bind" and volume["source"].startswith(source)]


def problems(service, it):
    ports = it.get("ports", [])
    if bool(ports) != (service in PUBLISHED):
        yield f"it publishes {ports}"
    if any(port.get("host_ip") != "127.0.0.1" for port in ports):
        yield "a published port is not on localhost"
    if ":" not in it["image"] or it["image"].endswith(":latest"):
        yield f"{it['image']} is not pinned"
    if it.get("cap_drop") != ["ALL"] or not it.get("read_only") or it.get("security_opt") != ["no-new-privileges:true"]:
        yield "it has more privileges than it needs"
    if any(volume.get("bind", {}).get("propagation") for volume in mounts(it, "/")):
        yield "it sets the mount propagation, which Docker must choose by what the system supports"
    if "mem_limit" not in it:
        yield "it has no memory limit"
    if "GF_SECURITY_ADMIN_PASSWORD" in it.get("environment", {}):
        yield "its password is not a secret"


def problems_of_restricted_files(services):
    """Yields services that cannot read a checkout with a umask of 077, which needs root with DAC_READ_SEARCH."""
    for name, it in services.items():
        if mounts(it, f"{PROJECT}/") and ("DAC_READ_SEARCH" not in it.get("cap_add", []) or it.get("user", "root") != "root"):
            yield f"{name}: it reads {mounts(it, f'{PROJECT}/')[0]['source']}, which may not be readable; monitoring-files must copy such files"


def problems_on_aws(service, it):
    if (it.get("network_mode") is not None) != (service in WITH_ROLE):
        yield "it has access to the instance role without need" if service not in WITH_ROLE else "it has no access to the instance role"
    if service in WITH_ROLE and (it.get("network_mode") != "host" or it.get("networks") or it.get("ports")):
        yield "it has a network other than the host network"
    if it.get("privileged") or {"NET_ADMIN", "NET_RAW", "SYS_ADMIN"} & set(it.get("cap_add", [])):
        yield "it could use the host network"
    # Prometheus reaches them from the host network.
    if service not in WITH_ROLE and [port.get("host_ip") for port in it.get("ports", [])] != ["127.0.0.1"]:
        yield "its port must be published on localhost, and only there"


def problems_of_grafana(environment):
    """Yields problems of Grafana's environment. Its file system is read-only, so plugins of the image must not be replaced, and those
    of data sources not disabled. The variables of the data sources must be set.
    """
    if environment.get("GF_PLUGINS_PREINSTALL_DISABLED") != "true":
        yield "it would try to replace the plugins of its image: GF_PLUGINS_PREINSTALL_DISABLED is not true"
    disabled = environment.get("GF_PLUGINS_DISABLE_PLUGINS", "").split(",")
    provisioned = (PROJECT / "infra/monitoring/grafana/provisioning/datasources/datasources.yml").read_text()
    for name in re.findall(r"(?<!\$)\$(\w+)", provisioned):
        if name not in environment:
            yield f"the data source needs {name}, which is not in its environment"
    for source in yaml.safe_load(provisioned)["datasources"]:
        if source["type"] in disabled:
            yield f"GF_PLUGINS_DISABLE_PLUGINS disables {source['type']}, which the data source {source['name']} needs"


def other_releases(images):
    """Yields the lines of the project with another release of one of these images."""
    for image in sorted(images):
        name, _, tag = image.rpartition(":")
        command = ["git", "grep", "--line-number", "--only-matching", "--extended-regexp", rf"{re.escape(name)}:v?[0-9][0-9A-Za-z.-]*"]
        found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout.split()
        yield from (f"{line}: the compose file has {image}" for line in found if not line.endswith(f":{tag}"))


def main():
    found, count, images = [], 0, set()
    for file, expected in FILES.items():
        present = services(file, "monitoring", "dashboards", "servers", "probes")
        found += [f"{file}: there is no {name}" for name in expected - present.keys()]
        for name in expected & present.keys():
            count += 1
            images.add(present[name]["image"])
            found += [f"{file}: {name}: {problem}" for problem in problems(name, present[name])]
            if name == "grafana":
                found += [f"{file}: {name}: {problem}" for problem in problems_of_grafana(present[name]["environment"])]
        if file != "docker-compose.yml":
            on_aws = services(file, "monitoring", "dashboards", "servers", "probes", override="ec2.yml")
            found += [f"{file}, ec2.yml: {name}: {problem}" for name, it in on_aws.items() for problem in problems_on_aws(name, it)]
    found += [f"docker-compose.yml: {problem}" for problem in problems_of_restricted_files(services("docker-compose.yml", "*"))]
    if {"grafana", "cadvisor"} & services("docker-compose.yml", "monitoring").keys():
        found.append("docker-compose.yml: the profile monitoring needs Grafana or cAdvisor")
    if {"prometheus", "alertmanager"} & services("docker-compose.yml").keys():
        found.append("docker-compose.yml: monitoring starts without its profile")
    found += other_releases(images)
    print("\n".join(found), end="\n" if found else "")
    print(f"compose: {count} services, {len(found)} problems")
    sys.exit(1 if found or not count else 0)


if __name__ == "__main__":
    main()
