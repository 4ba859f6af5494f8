"""The connections that the NetworkPolicies of a variant allow."""

from manifests import labels, matches, of_kind, pod, workloads

NAMESPACE = {"kubernetes.io/metadata.name": "voting-app"}


def policies_of(variant, workload, direction):
    """Returns the policies that apply to a workload's pods in a direction, `Ingress` or `Egress`."""
    return [
        policy["spec"] for policy in of_kind(variant, "NetworkPolicy").values()
        if matches(policy["spec"]["podSelector"], labels(workload)) and direction in policy["spec"]["policyTypes"]
    ]  # fmt: skip


def port_number(workload, port):
    """Returns the number of a port, given as a number or a name."""
    named = {one["name"]: one["containerPort"] for container in pod(workload)["containers"] for one in container.get("ports", [])}
    return named.get(port) if isinstance(port, str) else port


def includes(peers, other):
    """Returns True if the `to` or `from` of a rule includes another workload's pods. A rule without it includes all."""
    if peers is None:
        return True
    for peer in peers:
        if "namespaceSelector" in peer and not matches(peer["namespaceSelector"], NAMESPACE):
            continue
        if "ipBlock" not in peer and matches(peer.get("podSelector", {}), labels(other)):
            return True
    return False


def allows(variant, workload, direction, other, server, port):
    """Returns True if the policies of a workload allow a connection with another workload, in a direction and at a port of the server."""
    peer = {"Ingress": "from", "Egress": "to"}[direction]
    policies = policies_of(variant, workload, direction)
    assert policies, f"no policy restricts {direction} of {workload['metadata']['name']}"
    rules = [rule for policy in policies for rule in policy.get(direction.lower(), [])]
    return any(includes(rule.get(peer), other) and port in [port_number(server, one["port"]) for one in rule["ports"]] for rule in rules)


def connections(variant, is_allowed):
    """Returns (client, server, port) of all connections between pods of the namespace for which `is_allowed` is true."""
    return {
        (a, b, port)
        for a, client in workloads(variant).items() for b, server in workloads(variant).items() if a != b
        for port in container_ports(server) if is_allowed(client, server, port)
    }  # fmt: skip


def allowed_by_clients(variant):
    """Returns the connections that the policies of the clients allow."""
    return connections(variant, lambda client, server, port: allows(variant, client, "Egress", server, server, port))


def allowed_by_servers(variant):
    """Returns the connections that the policies of the servers allow."""
    return connections(variant, lambda client, server, port: allows(variant, server, "Ingress", client, server, port))


def allowed_connections(variant):
    """Returns the connections that the policies of both ends allow."""
    return allowed_by_clients(variant) & allowed_by_servers(variant)


def container_ports(workload):
    return [port["containerPort"] for container in pod(workload)["containers"] for port in container.get("ports", [])]


def public_ports(variant):
    """Returns the ports that accept connections from everywhere, as (workload, port)."""
    return {
        (name, port)
        for name, workload in workloads(variant).items() for port in container_ports(workload)
        if any(
            "from" not in rule and port in [port_number(workload, one["port"]) for one in rule["ports"]]
            for policy in policies_of(variant, workload, "Ingress") for rule in policy.get("ingress", [])
        )
    }  # fmt: skip
