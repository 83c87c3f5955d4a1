"""Which names may the gateway ask for and reach, as Cilium enforces it a second time? Pure, and optional.

Law: what is emitted allows what the profiles allow together, and nothing else: the gateway alone knows which
sandbox asks, so a second wall can only stand around all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..policies import EgressRule
from .egress_rules import compile_rules
from .profiles import Profile
from .services import service_places

__all__ = ["cilium_policy"]

_Places = Mapping[str, set[int]]


def cilium_policy(
    profiles: Sequence[Profile],
    internal_services: Mapping[str, str],
    namespace: str,
    gateway_labels: Mapping[str, str],
) -> dict[str, Any]:
    """A CiliumNetworkPolicy of the gateway's pods, in `namespace`.

    It adds to NetworkPolicies, so the two that open the world and every name to the gateway have to go:
    hub_config/kubernetes/cilium takes them away.
    """
    own = service_places(internal_services)
    names: dict[str, set[int]] = defaultdict(set)
    networks: dict[str, set[int]] = defaultdict(set)
    for rule in _all_rules(profiles):
        ports = {port for port in rule.ports if (rule.pattern, port) not in own}
        if ports:
            (networks if "/" in rule.pattern else names)[rule.pattern] |= ports
    for address, port in own.values():
        networks[f"{address}/{128 if ':' in address else 32}"].add(port)
    inside = f"*.{namespace}.svc.cluster.local"  # the other programs
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "gateway-to-names", "namespace": namespace},
        "spec": {
            "endpointSelector": {"matchLabels": dict(gateway_labels)},
            "egress": [
                _name_server([*_selectors([inside]), *_selectors(sorted(names))]),
                *(_opening("toFQDNs", _selectors(group), ports) for ports, group in _grouped(names)),
                *(_opening("toCIDR", group, ports) for ports, group in _grouped(networks)),
            ],
        },
    }


def _all_rules(profiles: Sequence[Profile]) -> Iterator[EgressRule]:
    """Those of each profile, and of each choice in its options."""
    for profile in profiles:
        yield from profile.egress.rules
        for option in profile.options:
            for choice in option.choices:
                field = f"{profile.slug}.{option.slug}.{choice.slug}.egress"
                yield from compile_rules(choice.overrides.get("egress") or (), field)


def _grouped(places: _Places) -> list[tuple[tuple[int, ...], list[str]]]:
    """What is reached at the same ports, together."""
    found: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for place, ports in places.items():
        found[tuple(sorted(ports))].append(place)
    return [(ports, sorted(group)) for ports, group in sorted(found.items())]


def _selectors(patterns: Iterable[str]) -> list[dict[str, str]]:
    """`*` ends at a dot in Cilium; `**.` is any depth, and one where Cilium is older than 1.19."""
    return [
        {"matchPattern": f"**.{pattern[2:]}" if not _is_own(pattern) else pattern}
        if pattern.startswith("*.")
        else {"matchName": pattern}
        for pattern in patterns
    ]


def _is_own(pattern: str) -> bool:
    return pattern.endswith(".svc.cluster.local")


def _name_server(names: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    labels = {"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s:k8s-app": "kube-dns"}
    ports = [{"port": "53", "protocol": "ANY"}]
    return {
        "toEndpoints": [{"matchLabels": labels}],
        "toPorts": [{"ports": ports, "rules": {"dns": list(names)}}],
    }


def _opening(kind: str, places: Sequence[Any], ports: Sequence[int]) -> dict[str, Any]:
    listed = [{"port": str(port), "protocol": "TCP"} for port in ports]
    return {kind: list(places), "toPorts": [{"ports": listed}]}
