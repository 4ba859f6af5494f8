"""What the NetworkPolicies of a variant allow."""

from manifests import labels, matches, of_kind, pod, workloads

NAMESPACE = {"kubernetes.io/metadata.name": "voting-app"}


def policies_of(variant, workload, direction):
    """The policies that limit a workload's pods in a direction, `Ingress` or `Egress`."""
    return [
        policy["spec"] for policy in of_kind(variant, "NetworkPolicy").values()
        if matches(policy["spec"]["podSelector"], labels(workload)) and direction in policy["spec"]["policyTypes"]
    ]  # fmt: skip


def number(workload, port):
    """The number of a port that a policy may call by its name."""
    named = {one["name"]: one["containerPort"] for container in pod(workload)["containers"] for one in container.get("ports", [])}
    return named.get(port) if isinstance(port, str) else port


def admits(peers, other):
    """Whether the `to` or `from` of a rule covers another workload's pods. Without one, it covers everything."""
    if peers is None:
        return True
    for peer in peers:
        if "namespaceSelector" in peer and not matches(peer["namespaceSelector"], NAMESPACE):
            continue
        if "ipBlock" not in peer and matches(peer.get("podSelector", {}), labels(other)):
            return True
    return False


def permits(variant, workload, direction, other, server, port):
    """Whether a workload's own policies let its pods exchange data with another's, in a direction and at a port of the server."""
    peer = {"Ingress": "from", "Egress": "to"}[direction]
    policies = policies_of(variant, workload, direction)
    assert policies, f"{workload['metadata']['name']} is open: no policy limits its {direction}"
    rules = [rule for policy in policies for rule in policy.get(direction.lower(), [])]
    return any(admits(rule.get(peer), other) and port in [number(server, one["port"]) for one in rule["ports"]] for rule in rules)


def ways(variant, is_way):
    """Client, server and port of every way between pods of the namespace that `is_way` lets through."""
    return {
        (a, b, port)
        for a, client in workloads(variant).items() for b, server in workloads(variant).items() if a != b
        for port in listening(server) if is_way(client, server, port)
    }  # fmt: skip


def asked(variant):
    """The ways that the clients' policies allow."""
    return ways(variant, lambda client, server, port: permits(variant, client, "Egress", server, server, port))


def admitted(variant):
    """The ways that the servers' policies allow."""
    return ways(variant, lambda client, server, port: permits(variant, server, "Ingress", client, server, port))


def edges(variant):
    """The ways that are open: both ends allow them."""
    return asked(variant) & admitted(variant)


def listening(workload):
    return [port["containerPort"] for container in pod(workload)["containers"] for port in container.get("ports", [])]


def open_to_the_world(variant):
    """Ports that pods outside the namespace and other hosts reach, whoever they are."""
    return {
        (name, port)
        for name, workload in workloads(variant).items() for port in listening(workload)
        if any(
            "from" not in rule and port in [number(workload, one["port"]) for one in rule["ports"]]
            for policy in policies_of(variant, workload, "Ingress") for rule in policy.get("ingress", [])
        )
    }  # fmt: skip
