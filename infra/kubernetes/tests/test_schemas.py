"""Every object is valid in the supported versions of Kubernetes, without unknown fields."""

import copy
import unittest

import kubernetes_validate
from manifests import VARIANTS, objects

# The versions that Kubernetes supports, and the previous one.
VERSIONS = ["1.34", "1.35", "1.36", "1.37"]

# The fields used in objects of kinds that are not part of Kubernetes. References:
#   https://prometheus-operator.dev/docs/api-reference/api/
#   https://gateway-api.sigs.k8s.io/reference/api-spec/
#   https://keda.sh/docs/latest/reference/scaledobject-spec/ and .../scalers/prometheus/
# A dictionary lists all fields, a list has the type of its elements, `...` is a map of strings to strings.
RULES = [{"record": str, "alert": str, "expr": str, "for": str, "keep_firing_for": str, "labels": ..., "annotations": ...}]
EXTENSIONS = {
    "monitoring.coreos.com/v1 PodMonitor": {
        "selector": {"matchExpressions": [{"key": str, "operator": str, "values": [str]}]},
        "jobLabel": str,
        "podMetricsEndpoints": [{
            "port": str, "interval": str, "scrapeTimeout": str,
            "relabelings": [{"sourceLabels": [str], "regex": str, "targetLabel": str, "replacement": str}],
        }],
    },
    "monitoring.coreos.com/v1 PrometheusRule": {"groups": [{"name": str, "interval": str, "rules": RULES}]},
    "gateway.networking.k8s.io/v1 Gateway": {
        "gatewayClassName": str,
        "listeners": [{
            "name": str, "protocol": str, "port": int, "tls": {"mode": str, "certificateRefs": [{"kind": str, "name": str}]},
            "allowedRoutes": {"namespaces": {"from": str}},
        }],
    },
    "gateway.networking.k8s.io/v1 HTTPRoute": {
        "parentRefs": [{"name": str}],
        "hostnames": [str],
        "rules": [{
            "matches": [{"path": {"type": str, "value": str}}], "timeouts": {"request": str, "backendRequest": str},
            "backendRefs": [{"name": str, "port": int}],
        }],
    },
    "keda.sh/v1alpha1 ScaledObject": {
        "scaleTargetRef": {"apiVersion": str, "kind": str, "name": str},
        "pollingInterval": int, "minReplicaCount": int, "maxReplicaCount": int,
        "fallback": {"failureThreshold": int, "replicas": int},
        "triggers": [{"type": str, "metadata": ...}],
    },
}  # fmt: skip


def differences(value, form, path="spec"):
    """Returns the differences between a value and its expected form."""
    if form is ...:
        form = {key: str for key in value} if isinstance(value, dict) else {}
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return [f"{path} is not an object"]
        unknown = [f"{path}.{key} is unknown; known are {', '.join(form)}" for key in value.keys() - form.keys()]
        return unknown + [one for key in value.keys() & form.keys() for one in differences(value[key], form[key], f"{path}.{key}")]
    if isinstance(form, list):
        if not isinstance(value, list):
            return [f"{path} is not a list"]
        return [one for index, element in enumerate(value) for one in differences(element, form[0], f"{path}[{index}]")]
    return [] if type(value) is form else [f"{path} is {value!r}, not of type {form.__name__}"]


def problems(one, version):
    kind = f"{one['apiVersion']} {one['kind']}"
    if kind in EXTENSIONS:
        return differences(one["spec"], EXTENSIONS[kind])
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [str(error)]
    return []


class Schemas(unittest.TestCase):
    def test_every_object_is_valid(self):
        for variant in VARIANTS:
            for (kind, name), one in objects(variant).items():
                for version in VERSIONS:
                    with self.subTest(f"{variant}: {kind} {name}, {version}"):
                        self.assertEqual(problems(one, version), [])

    def test_invalid_objects_are_found(self):
        vote = copy.deepcopy(objects("local")["Deployment", "vote"])
        vote["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
        self.assertIn("readinesProbe", problems(vote, "1.37")[0])
        old = copy.deepcopy(objects("production")["HorizontalPodAutoscaler", "vote"])
        old["apiVersion"] = "autoscaling/v2beta2"
        self.assertTrue(problems(old, "1.37"))
        variant = "production with paths, monitoring and KEDA"
        scaled = copy.deepcopy(objects(variant)["ScaledObject", "worker"])
        scaled["spec"]["maxReplicas"] = 3
        self.assertIn("spec.maxReplicas is unknown", problems(scaled, "1.37")[0])

    def test_every_listed_kind_is_used(self):
        used = {f"{one['apiVersion']} {one['kind']}" for variant in VARIANTS for one in objects(variant).values()}
        self.assertEqual(EXTENSIONS.keys() - used, set())


if __name__ == "__main__":
    unittest.main()
