"""The manifests as kustomize renders them: the two overlays, and each with the components that it offers."""

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

# Changes of an overlay's kustomization.yaml, as its comments offer them. The first word is the overlay.
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
    """The objects of a kustomization."""
    done = subprocess.run(["kubectl", "kustomize", folder], text=True, capture_output=True)
    assert done.returncode == 0 and not done.stderr, f"kubectl kustomize {folder}: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


def copy_of_overlay(name, changes):
    """A copy of an overlay elsewhere, with paths to the same base and components."""
    here = KUBERNETES / "overlays" / name.split()[0]
    folder = WORK / name.replace(" ", "-").replace(",", "")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(here, folder)
    file = folder / "kustomization.yaml"
    text = file.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old} is {text.count(old)} times in {file}"
        text = text.replace(old, new)
    file.write_text(re.sub(r"(\.\./)+[\w/-]+", lambda path: os.path.relpath((here / path[0]).resolve(), folder), text))
    return folder


@functools.cache
def objects(variant):
    """The objects of a variant, by kind and name."""
    changes = VARIANTS[variant]
    folder = KUBERNETES / "overlays" / variant if not changes else copy_of_overlay(variant, changes)
    made = kustomize(folder)
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in made}
    assert len(by_name) == len(made), f"{variant} has two objects of one kind and name"
    return by_name


def of_kind(variant, *kinds):
    return {name: one for (kind, name), one in objects(variant).items() if kind in kinds}


def workloads(variant):
    """What has pods, by name."""
    return of_kind(variant, "Deployment", "StatefulSet", "Job")


def pod(workload):
    return workload["spec"]["template"]["spec"]


def labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


def containers(workload):
    """All containers of a workload's pods, those that run before the others first."""
    return pod(workload).get("initContainers", []) + pod(workload)["containers"]


def main_container(workload):
    assert len(pod(workload)["containers"]) == 1, f"{workload['metadata']['name']} has several containers"
    return pod(workload)["containers"][0]


def config_map(variant, name):
    """A generated ConfigMap, by the name that it had before its hash."""
    found = [one for full, one in of_kind(variant, "ConfigMap").items() if full.rsplit("-", 1)[0] == name]
    assert len(found) == 1, f"{variant} has {len(found)} ConfigMaps {name}"
    return found[0]


def matches(selector, pod_labels):
    """Whether a label selector selects a pod."""
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        if pod_labels.get(rule["key"]) not in rule["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= pod_labels.items()


def secret_objects():
    """The Secrets of components/secrets: their keys and files."""
    made = yaml.safe_load((KUBERNETES / "components/secrets/objects.yaml").read_text())["secretGenerator"]
    return {secret["name"]: {pathlib.Path(file).name: file for file in secret["files"]} for secret in made}
