"""Does what a probe in a pod tried prove that sandboxes are closed on this cluster? (pure)

Law: what was not tried is not proved; a probe that could reach nothing at all proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kubernetes_site import KubernetesSite
from ..names import stable_hash
from .canary import MUST_FAIL, MUST_WORK, WORKED, Verdict, judge

__all__ = [
    "KUBELET",
    "NODE_BY_IPV6",
    "PodVerdict",
    "Targets",
    "closes_alike",
    "judge_pod",
    "policy_digest",
    "probe_plan",
    "why_open",
]

# A pod has an interface of its own, which policies close. Its seccomp profile is the container runtime's,
# which on older nodes leaves the noted ones open: told, and no reason to start nothing at all.
_OF_A_POD = ("network interface",)
_NOTED = ("vsock", "io_uring")
KUBELET = "the node's kubelet"  # as the probe names it
# The node's further addresses, and those of the link that it shares with the pod.
NODE_BY_IPV6 = ("the node by IPv6", "the node by its link")
_ANYWHERE = {
    "the cloud's metadata": ["tcp", "169.254.169.254", 80],
    "the cloud's pod identities": ["tcp", "169.254.170.23", 80],
    "another cloud's metadata": ["tcp", "100.100.100.200", 80],
    "a public address": ["tcp", "1.1.1.1", 443],
    "a public name server": ["udp", "1.1.1.1", 53],
    # A network may enforce policies for IPv4 alone.
    "the cloud's metadata by IPv6": ["tcp", "fd00:ec2::254", 80],
    "the cloud's pod identities by IPv6": ["tcp", "fd00:ec2::23", 80],
    "another cloud's metadata by IPv6": ["tcp", "fd20:ce::254", 80],
    "a public address by IPv6": ["tcp", "2606:4700:4700::1111", 443],
    "a public name server by IPv6": ["udp", "2606:4700:4700::1111", 53],
}


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is there to be reached: the cluster's API, name servers, and the gateway's other ports."""

    api: tuple[str, int]
    names: Sequence[str] = ()
    gateway_ports: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class PodVerdict:
    """The verdict, and what is weaker than it could be. `pids`: the kubelet holds a pod to a limit."""

    verdict: Verdict
    pids: bool = False
    notes: tuple[str, ...] = ()


def probe_plan(cluster: KubernetesSite, pods_port: int, targets: Targets) -> dict[str, Any]:
    """What the probe is told to try."""
    closed: dict[str, list[Any]] = {
        **_ANYWHERE,
        "the cluster's API": ["tcp", *targets.api],
    }
    for number, name in enumerate(targets.names):
        closed[f"the name server {number + 1}"] = ["udp", name, 53]
    for port in targets.gateway_ports:
        closed[f"port {port} of the gateway"] = ["tcp", cluster.gateway_address, port]
    return {"gateway": [cluster.gateway_address, pods_port], "closed": closed}


def judge_pod(
    isolation: Mapping[str, str] | None, network: Mapping[str, str] | None, plan: Mapping[str, Any]
) -> PodVerdict:
    """The verdict on the two lines that the probes printed; None for a line that did not come."""
    if isolation is None or network is None:
        return PodVerdict(verdict=Verdict(broken=("it ended before it had tried everything",)))
    own = judge({name: isolation.get(name, "untried") for name in (*MUST_FAIL, *MUST_WORK)})
    let_be = {MUST_FAIL[name] for name in (*_OF_A_POD, *_NOTED)}
    names = list(plan["closed"])
    reached = [f"it reached {name}" for name in names if network.get(name) == WORKED]
    if network.get("account") == WORKED:
        reached.append("it has an identity in the cluster")
    kubelet = network.get(KUBELET) == WORKED
    if not kubelet and any(network.get(name) == WORKED for name in NODE_BY_IPV6):
        reached.append("it reached its node by IPv6, for which the network enforces no policies")
    untried = [f"{name!r} was not tried" for name in (*names, *NODE_BY_IPV6) if name not in network]
    gateway = network.get("gateway", "not tried")
    if gateway != WORKED:
        untried.append(f"its one way out, to the gateway, is closed ({gateway}), so nothing else is proved")
    verdict = Verdict(
        escapes=(*(text for text in own.escapes if text not in let_be), *reached),
        broken=(*own.broken, *untried),
    )
    notes = [MUST_FAIL[name] for name in _NOTED if isolation.get(name) == WORKED]
    if kubelet:
        # Kubernetes says that policies need not close it; it answers to nobody without a certificate.
        notes.append("it reached the kubelet of its node")
    return PodVerdict(verdict=verdict, pids=network.get("endless processes") == "refused", notes=tuple(notes))


def why_open(policies: Sequence[Mapping[str, Any]], way: Sequence[Mapping[str, Any]] = ()) -> str:
    """Why the sandboxes' namespace is not closed by these NetworkPolicies; "" where it is.

    `way` are the rules of the one way out, to the gateway. What opens more is named, whomever it selects and
    whoever made it: a probe has not every label that a sandbox may have, and a sandbox's own policy may have
    been changed.
    """
    if not any(_closes_all(policy.get("spec") or {}) for policy in policies):
        return "no NetworkPolicy closes the namespace of the sandboxes both ways"
    for policy in policies:
        spec = policy.get("spec") or {}
        name = str((policy.get("metadata") or {}).get("name") or "")
        if spec.get("ingress") or any(rule not in way for rule in spec.get("egress") or ()):
            return f"the NetworkPolicy {name} opens the namespace of the sandboxes"
    return ""


def closes_alike(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Does the policy that is there say what was asked for? The API leaves out what is empty."""
    return _filled(found.get("spec") or {}) == _filled(wanted.get("spec") or {})


def policy_digest(policy: Mapping[str, Any]) -> str:
    """The same for those that close alike, so that one of ours is known again after the site has changed."""
    return stable_hash("policy", json.dumps(_filled(policy.get("spec") or {}), sort_keys=True))


def _filled(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if value}


def _closes_all(spec: Mapping[str, Any]) -> bool:
    everybody = not any((spec.get("podSelector") or {}).values())
    both = set(spec.get("policyTypes") or ()) >= {"Ingress", "Egress"}
    return everybody and both and not spec.get("ingress") and not spec.get("egress")
