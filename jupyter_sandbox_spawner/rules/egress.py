"""May this sandbox talk to this host, port, address and TLS server name, now?

Law: the name is decided before any DNS lookup, the addresses before any connection; what is not allowed
by a rule is refused. Absent rules refuse everything; there is no wildcard that allows everything. A rule
whose end is past is no rule, whoever is away that could take it out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..models import EgressPolicy, EgressRule
from .addresses import in_networks, is_global, is_metadata, networks_of, parse_address
from .egress_rules import compile_rules
from .hostnames import is_ip_literal, normalise_host

__all__ = [
    "Decision",
    "check_addresses",
    "check_server_name",
    "compile_rules",
    "decide",
    "holds",
    "normalise_host",
    "opens_service",
    "timed_digest",
    "unresolved",
]


@dataclass(frozen=True)
class Decision:
    """The answer to one question: a stable `code`, a sentence for the user, the rule that answered."""

    allowed: bool
    code: str
    message: str
    rule: str


def decide(policy: EgressPolicy, host: str, port: int, now: datetime) -> tuple[Decision, EgressRule | None]:
    """May `host:port` be asked for at all, at `now`? The rule comes with an allowed decision, else None."""
    name = normalise_host(host)
    if name is None:
        return _refused("egress.bad_host", f"{host!r} is not a host name."), None
    rules = [rule for rule in policy.rules if holds(rule, now)]
    if is_ip_literal(name):
        return _decide_literal(rules, name, port)
    naming = [rule for rule in rules if _names(rule.pattern, name)]
    if not naming:
        return _refused("egress.not_allowed", f"{name} is not on the allowlist of this sandbox."), None
    return _decide_port(naming, name, port)


def holds(rule: EgressRule, now: datetime) -> bool:
    """Is it a rule at this instant? At its very end it is none."""
    return rule.until is None or now < rule.until


def opens_service(rule: EgressRule, name: str) -> bool:
    """May this rule lead to a service of the site's own network? One for a time only by its whole name."""
    return rule.until is None or rule.pattern == name


def timed_digest(policy: EgressPolicy) -> str:
    """Tells apart what two policies give for a time; "" for one that gives nothing so."""
    timed = [
        f"{rule.pattern} {rule.ports} {rule.allow_private} {rule.text} {rule.until.timestamp()}"
        for rule in policy.rules
        if rule.until is not None
    ]
    return hashlib.sha256("\n".join(sorted(timed)).encode()).hexdigest() if timed else ""


def check_addresses(
    rule: EgressRule, addresses: Sequence[str], own: Collection[str] = frozenset()
) -> Decision:
    """May a name be connected to that resolves to these addresses? One bad address refuses them all.

    `own` are addresses of this host; like private ones they need the rule's `allow_private`.
    """
    if not addresses:
        return unresolved("The name")
    networks = networks_of((*rule.allow_private, rule.pattern))
    for text in addresses:
        address = parse_address(text)
        if address is None:
            return _refused("egress.resolved_private", f"{text!r} is not an address.", rule)
        open_to_all = is_global(address) and not is_metadata(address) and text not in own
        if not open_to_all and not in_networks(address, networks):
            return _refused(
                "egress.resolved_private",
                f"The name resolves to {text}, which is not a public address.",
                rule,
            )
    return _allowed(rule)


def check_server_name(host: str, server_name: str | None) -> Decision:
    """Does the TLS hello name the host that was asked for? To an address, clients send no name."""
    name = normalise_host(host)
    if server_name is None:
        if name is not None and is_ip_literal(name):
            return Decision(True, "egress.allowed", "", "")
        return _refused("egress.sni_mismatch", f"The TLS hello to {host} names no server.")
    if name is not None and normalise_host(server_name) == name:
        return Decision(True, "egress.allowed", "", "")
    return _refused("egress.sni_mismatch", f"The TLS hello to {host} names {server_name[:100]!r} instead.")


def unresolved(name: str) -> Decision:
    """The decision for a name without an address."""
    return _refused("egress.unresolved", f"{name} has no address in DNS.")


def _decide_literal(rules: Sequence[EgressRule], name: str, port: int) -> tuple[Decision, EgressRule | None]:
    address = parse_address(name)
    naming = [
        rule for rule in rules if address is not None and in_networks(address, networks_of((rule.pattern,)))
    ]
    if not naming:
        message = f"{name} is an IP address; sandboxes ask for names, or for networks that a rule lists."
        return _refused("egress.ip_literal", message), None
    return _decide_port(naming, name, port)


def _decide_port(naming: Sequence[EgressRule], name: str, port: int) -> tuple[Decision, EgressRule | None]:
    for rule in naming:
        if port in rule.ports:
            return _allowed(rule), rule
    ports = ", ".join(str(number) for number in sorted({p for rule in naming for p in rule.ports}))
    message = f"{name} is allowed on port {ports} only, not on {port}."
    return _refused("egress.port_not_allowed", message, naming[0]), None


def _names(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return name == pattern


def _allowed(rule: EgressRule) -> Decision:
    return Decision(True, "egress.allowed", "", rule.text or rule.pattern)


def _refused(code: str, message: str, rule: EgressRule | None = None) -> Decision:
    return Decision(False, code, message, (rule.text or rule.pattern) if rule else "")
