"""Pods run with the least rights: the Pod Security profile `restricted` and further restrictions."""

import unittest

from manifests import SERVICES, VARIANTS, containers, main_container, of_kind, pod, workloads

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


class Rights(unittest.TestCase):
    def each(self):
        return [(f"{variant}: {name}", workload) for variant in VARIANTS for name, workload in workloads(variant).items()]

    def test_the_namespace_enforces_the_restricted_profile(self):
        for variant in VARIANTS:
            for namespace in of_kind(variant, "Namespace").values():
                self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")

    def test_pods_comply_with_the_restricted_profile(self):
        for about, workload in self.each():
            with self.subTest(about):
                spec = pod(workload)
                for key in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "ephemeralContainers"]:
                    self.assertNotIn(key, spec)
                context = spec["securityContext"]
                self.assertTrue(context["runAsNonRoot"])
                self.assertGreater(context["runAsUser"], 0)
                self.assertGreater(context["runAsGroup"], 0)
                self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
                for volume in spec.get("volumes", []):
                    self.assertLessEqual(volume.keys() - {"name"}, RESTRICTED_VOLUMES)
                for container in containers(workload):
                    self.assertEqual(
                        container["securityContext"],
                        {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
                    )
                    self.assertFalse(any("hostPort" in port for port in container.get("ports", [])))

    def test_only_the_job_secrets_has_an_api_token(self):
        for about, workload in self.each():
            with self.subTest(about):
                self.assertFalse(pod(workload)["automountServiceAccountToken"])
                self.assertFalse(pod(workload)["enableServiceLinks"])
                tokens = {
                    volume["name"] for volume in pod(workload).get("volumes", [])
                    for source in volume.get("projected", {}).get("sources", []) if "serviceAccountToken" in source
                }  # fmt: skip
                holders = {container["name"] for container in containers(workload) for mount in container.get("volumeMounts", []) if mount["name"] in tokens}
                self.assertEqual(holders, {"apply"} if workload["metadata"]["name"] == "secrets" else set())

    def test_secrets_and_scripts_are_read_only(self):
        for about, workload in self.each():
            with self.subTest(about):
                writable = {volume["name"] for volume in pod(workload).get("volumes", []) if "emptyDir" in volume}
                writable |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
                for container in containers(workload):
                    for mount in container.get("volumeMounts", []):
                        self.assertTrue(mount.get("readOnly") or mount["name"] in writable, mount["mountPath"])

    def test_every_container_has_limits_and_requests(self):
        for about, workload in self.each():
            for container in containers(workload):
                with self.subTest(f"{about}: {container['name']}"):
                    self.assertEqual(container["resources"].keys(), {"requests", "limits"})
                    self.assertEqual(container["resources"]["requests"].keys(), {"cpu", "memory"})
                    self.assertIn("memory", container["resources"]["limits"])
                for volume in pod(workload).get("volumes", []):
                    if "emptyDir" in volume:
                        self.assertIn("sizeLimit", volume["emptyDir"])

    def test_the_three_services_share_their_common_settings(self):
        """The manifests repeat these settings so that each can be read on its own."""
        def common(name):
            spec, container = pod(workloads("local")[name]), main_container(workloads("local")[name])
            own = {"terminationGracePeriodSeconds": spec["terminationGracePeriodSeconds"], "security": spec["securityContext"]}
            own["spread"] = [{key: value for key, value in one.items() if key != "labelSelector"} for one in spec["topologySpreadConstraints"]]
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
                own[probe] = container[probe] | {"httpGet": container[probe]["httpGet"]["path"]}
            return own | {"from": container["envFrom"], "policy": container["imagePullPolicy"]}

        for name in SERVICES:
            self.assertEqual(common(name), common("vote"), name)


if __name__ == "__main__":
    unittest.main()
