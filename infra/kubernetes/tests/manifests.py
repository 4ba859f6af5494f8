"""The manifests as kustomize renders them: the two overlays, with and without the optional components."""

import functools
import os
import pathlib
import re
import shutil
import subprocess

import yaml

KUBERNETES = pathlib.Path(__file__).resolve().parents[1]
PROJECT = KUBERNETES.parents[1]
WORK = PROJECT / "target/kubernetes"
SERVICES = ["vote", "result", "worker"]

# Changes of an overlay's kustomization.yaml that its comments describe. The first word of a name is the overlay.
VARIANTS = {
    "local": {},
    "local with monitoring": {"# - ../../components/monitoring": "- ../../components/monitoring"},
    "production": {},
    "production with paths, monitoring and KEDA": {
        "components/ingress-hosts": "components/ingress-paths",
        "# - ../../components/monitoring": "- ../../components/monitoring",
        "# - path: postgres-exporter.yaml": "- path: postgres-exporter.yaml",
        "# - ../../components/keda": "- ../../components/keda",
        "  - path: replicas.yaml\n": "",
    },
    "production with the Gateway API": {"components/ingress-hosts": "components/gateway"},
}


def kustomize(folder):
    """Returns the objects of a kustomization."""
    done = subprocess.run(["kubectl", "kustomize", folder], text=True, capture_output=True)
    assert done.returncode == 0 and not done.stderr, f"kubectl kustomize {folder}: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


def copy_of_overlay(name, changes):
    """Copies an overlay to a work folder, with paths to the same base and components, and applies the changes."""
    here = KUBERNETES / "overlays" / name.split()[0]
    folder = WORK / name.replace(" ", "-").replace(",", "")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(here, folder)
    file = folder / "kustomization.yaml"
    text = file.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old} occurs {text.count(old)} times in {file}"
        text = text.replace(old, new)
    file.write_text(re.sub(r"(\.\./)+[\w/-]+", lambda path: os.path.relpath((here / path[0]).resolve(), folder), text))
    return folder


@functools.cache
def objects(variant):
    """Returns the objects of a variant by kind and name."""
    changes = VARIANTS[variant]
    folder = KUBERNETES / "overlays" / variant if not changes else copy_of_overlay(variant, changes)
    made = kustomize(folder)
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in made}
    assert len(by_name) == len(made), f"{variant} has two objects of one kind and name"
    return by_name


def of_kind(variant, *kinds):
    return {name: one for (kind, name), one in objects(variant).items() if kind in kinds}


def workloads(variant):
    """Returns the objects that have pods, by name."""
    return of_kind(variant, "Deployment", "StatefulSet", "Job")


def pod(workload):
    return workload["spec"]["template"]["spec"]


def labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def containers(workload):
    """Returns all containers of a workload's pods, init containers first."""
    return pod(workload).get("initContainers", []) + pod(workload)["containers"]


def main_container(workload):
    assert len(pod(workload)["containers"]) == 1, f"{workload['metadata']['name']} has several containers"
    return pod(workload)["containers"][0]


def config_map(variant, name):
    """Returns a generated ConfigMap by its name without the hash."""
    found = [one for full, one in of_kind(variant, "ConfigMap").items() if full.rsplit("-", 1)[0] == name]
    assert len(found) == 1, f"{variant} has {len(found)} ConfigMaps {name}"
    return found[0]


def matches(selector, pod_labels):
    """Returns True if a label selector selects a pod with these labels."""
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        if pod_labels.get(rule["key"]) not in rule["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= pod_labels.items()


def secret_objects():
    """Returns the Secrets of components/secrets as {name: {key: file}}."""
    made = yaml.safe_load((KUBERNETES / "components/secrets/objects.yaml").read_text())["secretGenerator"]
    return {secret["name"]: {pathlib.Path(file).name: file for file in secret["files"]} for secret in made}
