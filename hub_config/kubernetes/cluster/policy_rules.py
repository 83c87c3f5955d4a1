"""Which firewall rules enforce these NetworkPolicies? Pure: text for nft from what the API server lists.

Law: what a pod's policies do not allow is dropped; a pod that the agent does not know yet reaches nothing.
Only the node itself reaches a pod whatever its policies say, as Kubernetes wants it for its probes.
Pods have no IPv6 here, but the addresses that every link has: what they send by those is dropped.
Connections that stand go on when a policy changes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TABLE", "Pod", "matches", "name_server", "ruleset", "seen_pods"]

TABLE = "inet jss_policies"
Item = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """What rules need of a pod."""

    namespace: str
    name: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


def name_server(address: str) -> Pod:
    """The cluster's DNS as policies know it elsewhere: a pod of kube-system, labelled k8s-app=kube-dns."""
    return Pod("kube-system", "kube-dns", address, {"k8s-app": "kube-dns"}, {"dns": 53})


def seen_pods(items: Iterable[Item]) -> list[Pod]:
    """The pods that have an address of their own now, from what the API server lists."""
    found = []
    for item in items:
        status, spec, meta = item.get("status", {}), item["spec"], item["metadata"]
        address = status.get("podIP", "")
        if not address or spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
            continue
        containers = [*spec.get("initContainers", []), *spec["containers"]]
        ports = {
            port["name"]: int(port["containerPort"])
            for container in containers
            for port in container.get("ports", [])
            if "name" in port
        }
        found.append(Pod(meta["namespace"], meta["name"], address, meta.get("labels", {}), ports))
    return sorted(found, key=lambda pod: (pod.namespace, pod.name))


def matches(selector: Item, labels: Mapping[str, str]) -> bool:
    """Does a label selector choose these labels? An empty one chooses everything."""
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _expression(part, labels) for part in selector.get("matchExpressions") or []
    )


def _expression(part: Item, labels: Mapping[str, str]) -> bool:
    key, values = part["key"], part.get("values") or []
    answers = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return answers[part["operator"]]


def ruleset(
    pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]], policies: Sequence[Item], network: str
) -> str:
    """What `nft -f -` takes: the whole table anew, in one step. `network`: that of all pods."""
    sides = {way: _side(way, pods, namespaces, policies) for way in ("Egress", "Ingress")}
    chains = "".join(chain for side in sides.values() for chain in side[0])
    egress, ingress = (", ".join(sides[way][1]) for way in ("Egress", "Ingress"))
    known = ", ".join(sorted({pod.address for pod in pods}))
    leaving = f"        ip saddr vmap {{ {egress} }}\n" if egress else ""
    entering = f"        ip daddr vmap {{ {ingress} }}\n" if ingress else ""
    start = f"""        type filter hook HOOK priority 10; policy accept;
        ct state established,related accept
        meta nfproto ipv6 iifname "veth*" drop
        ip saddr {network} ip saddr != @known drop
"""
    return f"""table {TABLE} {{ }}
delete table {TABLE}
table {TABLE} {{
    set known {{
        type ipv4_addr
{f"        elements = {{ {known} }}" if known else ""}
    }}
{chains}    chain forward {{
{start.replace("HOOK", "forward")}        ip daddr {network} ip daddr != @known drop
{leaving}{entering}    }}
    chain input {{
{start.replace("HOOK", "input")}{leaving}    }}
}}
"""


def _side(
    way: str, pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]], policies: Sequence[Item]
) -> tuple[list[str], list[str]]:
    """A chain for every pod that is isolated this way, and the elements of the map that leads to them."""
    chains, elements = [], []
    for number, pod in enumerate(pods):
        chosen = [policy for policy in policies if _isolates(policy, pod, way)]
        if not chosen:
            continue
        lines = [
            line
            for policy in chosen
            for rule in policy["spec"].get(way.lower()) or []
            for line in _rule(way, rule, pod, policy["metadata"]["namespace"], (pods, namespaces))
        ]
        name = f"{way.lower()}_{number}"
        body = "".join(f"        {line} return\n" for line in dict.fromkeys(lines))
        chains.append(f"    chain {name} {{ # {pod.namespace}/{pod.name}\n{body}        drop\n    }}\n")
        elements.append(f"{pod.address} : jump {name}")
    return chains, elements


def _isolates(policy: Item, pod: Pod, way: str) -> bool:
    spec = policy["spec"]
    ways = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    here = policy["metadata"]["namespace"] == pod.namespace
    return here and way in ways and matches(spec.get("podSelector") or {}, pod.labels)


Cluster = tuple[Sequence[Pod], Mapping[str, Mapping[str, str]]]


def _rule(way: str, rule: Item, pod: Pod, namespace: str, cluster: Cluster) -> list[str]:
    """Lines that match what one rule allows."""
    peers = rule.get("to" if way == "Egress" else "from") or []
    side = "daddr" if way == "Egress" else "saddr"
    lines = []
    for place, there in _places(side, peers, namespace, cluster):
        receivers = there if way == "Egress" else [pod]
        lines += [f"{place} {port}".strip() for port in _ports(rule.get("ports") or [], receivers)]
    return lines


def _places(
    side: str, peers: Sequence[Item], namespace: str, cluster: Cluster
) -> list[tuple[str, list[Pod]]]:
    """What matches each of the peers, with the pods behind it; one that matches all for no peers."""
    if not peers:
        return [("", list(cluster[0]))]
    found: list[tuple[str, list[Pod]]] = []
    for peer in peers:
        if block := peer.get("ipBlock"):
            if ipaddress.ip_network(block["cidr"]).version == 4:
                without = ", ".join(block.get("except") or [])
                kept = f" ip {side} != {{ {without} }}" if without else ""
                found.append((f"ip {side} {block['cidr']}{kept}", []))
            continue
        chosen = [pod for pod in cluster[0] if _is_peer(peer, pod, namespace, cluster[1])]
        found += [(f"ip {side} {pod.address}", [pod]) for pod in chosen]
    return found


def _is_peer(peer: Item, pod: Pod, namespace: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    chooser = peer.get("namespaceSelector")
    if chooser is None:
        near = pod.namespace == namespace
    else:
        near = matches(chooser, namespaces.get(pod.namespace, {}))
    return near and matches(peer.get("podSelector") or {}, pod.labels)


def _ports(ports: Sequence[Item], receivers: Sequence[Pod]) -> list[str]:
    """What matches each of the ports; one that matches all for no ports. Names are the receiver's."""
    if not ports:
        return [""]
    found = []
    for item in ports:
        protocol, port = str(item.get("protocol", "TCP")).lower(), item.get("port")
        if port is None:
            found.append(f"meta l4proto {protocol}")
        elif isinstance(port, str):
            numbers = sorted({pod.ports[port] for pod in receivers if port in pod.ports})
            found += [f"{protocol} dport {number}" for number in numbers]
        else:
            last = f"-{item['endPort']}" if item.get("endPort") else ""
            found.append(f"{protocol} dport {port}{last}")
    return found
