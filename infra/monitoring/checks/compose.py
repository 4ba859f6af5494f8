#!/usr/bin/env python3
"""The compose files of monitoring, as compose understands them: nothing is open to the world, every image is pinned, nobody has
more rights than needed, Grafana has no password of its own, and all but Grafana and cAdvisor start without these two.
"""

import json
import subprocess
import sys

from stack import PROJECT

FILES = {
    "docker-compose.yml": {"prometheus", "alertmanager", "node-exporter", "redis-exporter", "postgres-exporter", "cadvisor", "grafana"},
    "infra/monitoring/prometheus/docker-compose.yml": {"prometheus", "alertmanager", "node-exporter", "redis-exporter", "postgres-exporter", "cadvisor"},
    "infra/monitoring/grafana/docker-compose.yml": {"grafana"},
}
# What people look at; only Prometheus needs to reach the others.
PUBLISHED = {"prometheus", "alertmanager", "grafana"}


def services(file, *profiles):
    command = ["docker", "compose", "--env-file", "/dev/null", "--file", PROJECT / file, *(f"--profile={name}" for name in profiles), "config", "--format", "json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["services"]


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
    if "mem_limit" not in it:
        yield "its memory has no limit"
    if "GF_SECURITY_ADMIN_PASSWORD" in it.get("environment", {}):
        yield "its password is not a secret"


def main():
    found, seen = [], 0
    for file, expected in FILES.items():
        present = services(file, "monitoring", "dashboards", "servers")
        found += [f"{file}: there is no {name}" for name in expected - present.keys()]
        for name in expected & present.keys():
            seen += 1
            found += [f"{file}: {name}: {problem}" for problem in problems(name, present[name])]
    if {"grafana", "cadvisor"} & services("docker-compose.yml", "monitoring").keys():
        found.append("docker-compose.yml: the profile monitoring needs Grafana or cAdvisor")
    if {"prometheus", "alertmanager"} & services("docker-compose.yml").keys():
        found.append("docker-compose.yml: monitoring starts unasked")
    print("\n".join(found), end="\n" if found else "")
    print(f"compose: {seen} services, {len(found)} problems")
    sys.exit(1 if found or not seen else 0)


if __name__ == "__main__":
    main()
