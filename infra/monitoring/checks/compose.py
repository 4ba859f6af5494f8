#!/usr/bin/env python3
"""The compose files of monitoring, as compose understands them: nothing is open to the world, every image is pinned, nobody has
more rights than needed, Grafana has no password of its own and keeps the plugins of its image, and all but Grafana and cAdvisor
start without these two. Who reads a file of the checkout may read it whatever its mode is. On AWS only those that need the
machine's role are in its network. Every file of the project names the same release of an image.
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
# The metadata service of AWS answers no container in a network of its own: one hop is all that Terraform allows.
WITH_ROLE = {"prometheus", "alertmanager"}
# What people look at; only Prometheus needs to reach the others.
PUBLISHED = {"prometheus", "alertmanager", "grafana"}


def services(file, *profiles, override=None):
    files = [PROJECT / file, *([(PROJECT / file).parent / override] if override else [])]
    command = ["docker", "compose", "--env-file", "/dev/null", *(f"--file={name}" for name in files), *(f"--profile={name}" for name in profiles), "config", "--format", "json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["services"]


def mounts(it, source):
    """The bind mounts of what is below a path."""
    return [volume for volume in it.get("volumes", []) if volume["type"] == "bind" and volume["source"].startswith(source)]


def problems(service, it):
    ports = it.get("ports", [])
    if bool(ports) != (service in PUBLISHED):
        yield f"it publishes {ports}"
    if any(port.get("host_ip") != "127.0.0.1" for port in ports):
        yield "it is open to the world"
    if ":" not in it["image"] or it["image"].endswith(":latest"):
        yield f"{it['image']} is not pinned"
    if it.get("cap_drop") != ["ALL"] or not it.get("read_only") or it.get("security_opt") != ["no-new-privileges:true"]:
        yield "it has more rights than it needs"
    if any(volume.get("bind", {}).get("propagation") for volume in mounts(it, "/")):
        yield "it says how mounts are passed on, which Docker chooses by what the system allows"
    if "mem_limit" not in it:
        yield "its memory has no limit"
    if "GF_SECURITY_ADMIN_PASSWORD" in it.get("environment", {}):
        yield "its password is not a secret"


def problems_of_closed_files(services):
    """Files of a checkout with a umask of 077 are read by root with this capability, and by nobody else but their owner."""
    for name, it in services.items():
        if mounts(it, f"{PROJECT}/") and ("DAC_READ_SEARCH" not in it.get("cap_add", []) or it.get("user", "root") != "root"):
            yield f"{name}: it reads {mounts(it, f'{PROJECT}/')[0]['source']}, which may be closed to it; monitoring-files copies such files"


def problems_on_aws(service, it):
    if (it.get("network_mode") is not None) != (service in WITH_ROLE):
        yield "it reaches the machine's role, and does not need it" if service not in WITH_ROLE else "it does not reach the machine's role"
    if service in WITH_ROLE and (it.get("network_mode") != "host" or it.get("networks") or it.get("ports")):
        yield "it has a network beside the machine's"
    if it.get("privileged") or {"NET_ADMIN", "NET_RAW", "SYS_ADMIN"} & set(it.get("cap_add", [])):
        yield "it could enter the machine's network"
    # Prometheus reaches them from the machine's network.
    if service not in WITH_ROLE and [port.get("host_ip") for port in it.get("ports", [])] != ["127.0.0.1"]:
        yield "Prometheus does not reach it, or others do"


def problems_of_grafana(environment):
    """The file system is read-only, so the plugins of the image must neither be replaced nor disabled where a data source needs
    them; and the data source's variables are set.
    """
    if environment.get("GF_PLUGINS_PREINSTALL_DISABLED") != "true":
        yield "it replaces the plugins of its image, which it cannot: GF_PLUGINS_PREINSTALL_DISABLED is not true"
    disabled = environment.get("GF_PLUGINS_DISABLE_PLUGINS", "").split(",")
    provisioned = (PROJECT / "infra/monitoring/grafana/provisioning/datasources/datasources.yml").read_text()
    for name in re.findall(r"(?<!\$)\$(\w+)", provisioned):
        if name not in environment:
            yield f"the data source needs {name}, which is not in its environment"
    for source in yaml.safe_load(provisioned)["datasources"]:
        if source["type"] in disabled:
            yield f"GF_PLUGINS_DISABLE_PLUGINS disables {source['type']}, which the data source {source['name']} needs"


def other_releases(images):
    """The lines of the project that name another release of one of these images."""
    for image in sorted(images):
        name, _, tag = image.rpartition(":")
        command = ["git", "grep", "--line-number", "--only-matching", "--extended-regexp", rf"{re.escape(name)}:v?[0-9][0-9A-Za-z.-]*"]
        found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout.split()
        yield from (f"{line}: the compose file names {image}" for line in found if not line.endswith(f":{tag}"))


def main():
    found, seen, images = [], 0, set()
    for file, expected in FILES.items():
        present = services(file, "monitoring", "dashboards", "servers", "probes")
        found += [f"{file}: there is no {name}" for name in expected - present.keys()]
        for name in expected & present.keys():
            seen += 1
            images.add(present[name]["image"])
            found += [f"{file}: {name}: {problem}" for problem in problems(name, present[name])]
            if name == "grafana":
                found += [f"{file}: {name}: {problem}" for problem in problems_of_grafana(present[name]["environment"])]
        if file != "docker-compose.yml":
            on_aws = services(file, "monitoring", "dashboards", "servers", "probes", override="ec2.yml")
            found += [f"{file}, ec2.yml: {name}: {problem}" for name, it in on_aws.items() for problem in problems_on_aws(name, it)]
    found += [f"docker-compose.yml: {problem}" for problem in problems_of_closed_files(services("docker-compose.yml", "*"))]
    if {"grafana", "cadvisor"} & services("docker-compose.yml", "monitoring").keys():
        found.append("docker-compose.yml: the profile monitoring needs Grafana or cAdvisor")
    if {"prometheus", "alertmanager"} & services("docker-compose.yml").keys():
        found.append("docker-compose.yml: monitoring starts unasked")
    found += other_releases(images)
    print("\n".join(found), end="\n" if found else "")
    print(f"compose: {seen} services, {len(found)} problems")
    sys.exit(1 if found or not seen else 0)


if __name__ == "__main__":
    main()
