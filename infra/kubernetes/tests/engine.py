"""Runs the pods of a variant on a Docker engine as a kubelet would: with the user, rights, environment, limits and volumes of each
container, and only with connections that the NetworkPolicies allow."""

import contextlib
import io
import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import uuid

from api_server import ApiServer
from manifests import PROJECT, WORK, main_container, of_kind, pod, workloads
from network import allowed_connections, public_ports

# An image with a shell, which prepares volumes.
HELPER_IMAGE = "redis:8.2"
# The image in which the kubectl of these checks runs. It replaces the image of kubectl, whose registry may be unreachable.
KUBECTL_IMAGE = "gcr.io/distroless/cc-debian13:nonroot"
# The mode of folders that the kubelet makes writable for the group of the pod: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
GROUP_WRITABLE = "2775"


def docker(*arguments, **options):
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, **{"text": True} | options)
    assert done.returncode == 0, f"docker {' '.join(map(str, arguments))}: {done.stderr}"
    return done.stdout


def archive(files):
    """Returns a tar archive of files, given as {name: content}."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def users(image):
    """Returns the /etc/passwd of an image."""
    return docker("run", "--rm", "--network=none", "--entrypoint=cat", image, "/etc/passwd")


class Cluster:
    """The pods of the overlay local with monitoring, with the images of a tag."""

    def __init__(self, tag):
        self.tag = tag
        self.variant = "local with monitoring"
        self.id = f"voting-app-kubernetes-{uuid.uuid4().hex[:8]}"
        self.secrets = {}
        # The persistent volumes, which survive the replacement of a pod, by workload and name.
        self.claims = {}
        self.cleanup = contextlib.ExitStack()
        WORK.mkdir(parents=True, exist_ok=True)
        self.folder = self.cleanup.enter_context(tempfile.TemporaryDirectory(dir=WORK))
        self.networks = {}
        for server in sorted({server for _, server, _ in allowed_connections(self.variant)}):
            self.networks[server] = self.network(f"{self.id}-{server}", "--internal")
        self.external = self.network(f"{self.id}-external")
        self.api = ApiServer(self.folder, "voting-app", of_kind(self.variant, "Role")["secrets"])
        self.cleanup.callback(self.api.close)

    def close(self):
        self.cleanup.close()

    def network(self, name, *options):
        docker("network", "create", *options, name)
        self.cleanup.callback(docker, "network", "rm", name)
        return name

    # Volumes

    def volume(self, workload, volume):
        """Returns a Docker volume with the contents, owner and mode of a pod's volume."""
        claim = (workload["metadata"]["name"], volume["name"]) if "persistentVolumeClaim" in volume else None
        if claim in self.claims:
            return self.claims[claim]
        group = pod(workload)["securityContext"]["fsGroup"]
        name = f"{self.id}-{workload['metadata']['name']}-{volume['name']}-{uuid.uuid4().hex[:4]}"
        docker("volume", "create", name)
        self.cleanup.callback(docker, "volume", "rm", name)
        if volume.keys() & {"emptyDir", "persistentVolumeClaim"}:
            files, mode, folder = {}, "0644", GROUP_WRITABLE
        else:
            files, mode, folder = self.files(volume), format(self.mode(volume), "o"), "0755"
        script = f"cd /v && tar -x && chown -R 0:{group} . && chmod {folder} . && for f in *; do [ ! -f $f ] || chmod {mode} $f; done"
        docker("run", "--rm", "--interactive", "--network=none", "--user=0", "--entrypoint=sh", f"--volume={name}:/v", HELPER_IMAGE, "-c", script, input=archive(files), text=False)
        if claim:
            self.claims[claim] = name
        return name

    @staticmethod
    def mode(volume):
        return next(source["defaultMode"] for kind, source in volume.items() if kind in ["secret", "configMap", "projected"])

    def files(self, volume):
        """Returns the files of a volume of ConfigMaps and Secrets."""
        files = {}
        for part in volume.get("projected", {}).get("sources", [volume]):
            if "serviceAccountToken" in part:
                files[part["serviceAccountToken"]["path"]] = self.api.token.encode()
                continue
            if "downwardAPI" in part:
                (item,) = part["downwardAPI"]["items"]
                assert item["fieldRef"]["fieldPath"] == "metadata.namespace", item
                files[item["path"]] = self.api.namespace.encode()
                continue
            if part.get("configMap", {}).get("name") == "kube-root-ca.crt":
                files["ca.crt"] = pathlib.Path(self.api.certificate).read_bytes()
                continue
            if "configMap" in part:
                source, content = part["configMap"], {key: text.encode() for key, text in of_kind(self.variant, "ConfigMap")[part["configMap"]["name"]]["data"].items()}
            else:
                source = part["secret"]
                content = self.secrets.get(source["secretName"])
                assert content is not None or source.get("optional"), f"the Secret {source['secretName']} does not exist"
            content = content or {}
            items = source.get("items") or [{"key": key, "path": key} for key in content]
            files |= {item["path"]: content[item["key"]] for item in items}
        return files

    def volumes(self, workload):
        """Returns the volumes of a pod by name."""
        claims = [{"name": claim["metadata"]["name"], "persistentVolumeClaim": {}} for claim in workload["spec"].get("volumeClaimTemplates", [])]
        return {volume["name"]: self.volume(workload, volume) for volume in pod(workload).get("volumes", []) + claims}

    def mount(self, workload, mount, volumes):
        suffix = ":ro" if mount.get("readOnly") else ""
        if "subPath" not in mount:
            # Without nocopy, Docker would copy the image's files and their owners into an empty volume.
            return f"--volume={volumes[mount['name']]}:{mount['mountPath']}{suffix or ':rw'},nocopy"
        volume = next(one for one in pod(workload)["volumes"] if one["name"] == mount["name"])
        file = f"{self.folder}/{workload['metadata']['name']}-{mount['subPath']}"
        with open(file, "wb") as opened:
            opened.write(self.files(volume)[mount["subPath"]])
        return f"--volume={file}:{mount['mountPath']}{suffix}"

    # Containers

    def create(self, workload, container, volumes):
        """Creates a container without starting it, and returns its id."""
        name = workload["metadata"]["name"]
        image = container["image"].replace(":latest", f":{self.tag}") if container["image"].startswith("voting-app/") else container["image"]
        uses_api = image.startswith("registry.k8s.io/kubectl:")
        context, rights = pod(workload)["securityContext"], container["securityContext"]
        options = [f"--user={context['runAsUser']}:{context['runAsGroup']}", f"--group-add={context['fsGroup']}"]
        options += [f"--hostname={name}-0"] * (not uses_api)
        options += ["--read-only"] * rights["readOnlyRootFilesystem"] + ["--security-opt=no-new-privileges"] * (not rights["allowPrivilegeEscalation"])
        options += [f"--cap-drop={capability}" for capability in rights["capabilities"]["drop"]]
        memory = container["resources"]["limits"]["memory"].replace("Mi", "m")
        options += [f"--memory={memory}", f"--memory-swap={memory}"]
        for source in container.get("envFrom", []):
            data = of_kind(self.variant, "ConfigMap")[source["configMapRef"]["name"]]["data"]
            options += [f"--env={key}={value}" for key, value in data.items()]
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("configMapKeyRef")
            value = of_kind(self.variant, "ConfigMap")[reference["name"]]["data"][reference["key"]] if reference else variable["value"]
            options += [f"--env={variable['name']}={value}"]
        options += [self.mount(workload, mount, volumes) for mount in container.get("volumeMounts", [])]
        if uses_api:
            image = KUBECTL_IMAGE
            options += [f"--volume={shutil.which('kubectl')}:/bin/kubectl:ro", "--entrypoint=/bin/kubectl"]
            options += ["--env=KUBERNETES_SERVICE_HOST=127.0.0.1", f"--env=KUBERNETES_SERVICE_PORT={self.api.port}"]
        options += self.passwd(image, context["runAsUser"])
        command = container.get("command", [])
        options += [f"--entrypoint={command[0]}"] if command else []
        attached = [(self.networks[server], None) for client, server, _ in sorted(allowed_connections(self.variant)) if client == name]
        attached += [(self.networks[name], name)] if name in self.networks else []
        public = {port for one, port in public_ports(self.variant) if one == name}
        attached += [(self.external, None)] if public else []
        options += [f"--publish=127.0.0.1::{port}" for port in public]
        first, alias = attached[0] if attached else ("host" if uses_api else "none", None)
        options += [f"--network={first}"] + ([f"--network-alias={alias}"] if alias else [])
        made = docker("create", *options, image, *command[1:], *container.get("args", [])).strip()
        # Ignores errors, because the container may be removed already.
        self.cleanup.callback(subprocess.run, ["docker", "rm", "--force", "--volumes", made], capture_output=True)
        for network, alias in attached[1:]:
            docker("network", "connect", *([f"--alias={alias}"] if alias else []), network, made)
        return made

    def passwd(self, image, user):
        """Asserts that the image has the user of the pod. For a stand-in image without it, returns an option that adds the user."""
        if user == 65532 or f":{user}:" in users(image):
            return []
        assert subprocess.run([PROJECT / ".ci/offline", "is-used"]).returncode == 0, f"{image} has no user {user}"
        file = f"{self.folder}/passwd-{user}"
        with open(file, "w") as opened:
            opened.write(f"{users(image)}user{user}:x:{user}:{user}::/nonexistent:/bin/sh\n")
        return [f"--volume={file}:/etc/passwd:ro"]

    def run(self, workload, container, volumes):
        """Runs a container until it exits successfully."""
        made = self.create(workload, container, volumes)
        # Long enough for an init container that waits for a server.
        done = subprocess.run(["timeout", "90", "docker", "start", "--attach", made], capture_output=True, text=True)
        assert done.returncode == 0, f"{workload['metadata']['name']}, {container['name']}: {done.stdout}{done.stderr}"
        return made

    # Pods

    def make_secrets(self):
        """Runs the Job `secrets`; its kubectl talks to the stub of the API server."""
        workload = workloads(self.variant)["secrets"]
        volumes = self.volumes(workload)
        (make,) = pod(workload)["initContainers"]
        self.run(workload, make, volumes)
        self.api.rejected.clear()
        self.run(workload, main_container(workload), volumes)
        assert not self.api.rejected, self.api.rejected
        self.secrets = self.api.contents()

    def run_job(self, name):
        workload = workloads(self.variant)[name]
        volumes = self.volumes(workload)
        for container in [*pod(workload).get("initContainers", []), main_container(workload)]:
            self.run(workload, container, volumes)

    def start(self, name):
        workload = workloads(self.variant)[name]
        volumes = self.volumes(workload)
        for container in pod(workload).get("initContainers", []):
            self.run(workload, container, volumes)
        made = self.create(workload, main_container(workload), volumes)
        docker("start", made)
        return Pod(made, main_container(workload))

    def restart(self, name, old):
        """Replaces a pod with a new one, as a rollout does."""
        # test_pods tests the drain of the services, so they are killed here.
        grace = pod(workloads(self.variant)[name])["terminationGracePeriodSeconds"] if name in ["redis", "db"] else 0
        docker("stop", f"--time={grace}", old.name)
        docker("rm", "--volumes", old.name)
        return self.start(name)


class Pod:
    """A running container and its probes."""

    def __init__(self, name, container):
        self.name, self.container = name, container

    def inspect(self):
        return json.loads(docker("inspect", self.name))[0]

    def address(self):
        return next(network["IPAddress"] for network in self.inspect()["NetworkSettings"]["Networks"].values())

    def published(self):
        (bindings,) = [port for port in self.inspect()["NetworkSettings"]["Ports"].values() if port]
        return f"http://127.0.0.1:{bindings[0]['HostPort']}"

    def probe(self, name):
        """Returns True if a probe succeeds as for the kubelet: within its timeout, and with a status below 400."""
        probe = self.container[name]
        if "exec" in probe:
            command = ["docker", "exec", self.name, *probe["exec"]["command"]]
            return subprocess.run(command, capture_output=True, timeout=probe["timeoutSeconds"] + 5).returncode == 0
        port = next(port["containerPort"] for port in self.container["ports"] if port["name"] == probe["httpGet"]["port"])
        try:
            with urllib.request.urlopen(f"http://{self.address()}:{port}{probe['httpGet']['path']}", timeout=probe["timeoutSeconds"]):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def until(self, name, seconds):
        """Waits until a probe succeeds."""
        deadline = time.monotonic() + seconds
        while not self.probe(name):
            assert self.inspect()["State"]["Running"], f"{self.container['name']} exited: {self.logs()}"
            assert time.monotonic() < deadline, f"{self.container['name']}: {name} did not succeed within {seconds} s: {self.logs()}"
            time.sleep(0.2)

    def until_ready(self):
        startup = self.container["startupProbe"]
        self.until("startupProbe", startup["periodSeconds"] * startup["failureThreshold"])
        assert self.probe("livenessProbe"), f"{self.container['name']}: livenessProbe failed: {self.logs()}"
        self.until("readinessProbe", 60)

    def logs(self):
        done = subprocess.run(["docker", "logs", "--tail=20", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr
