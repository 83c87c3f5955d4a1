"""What does the section `policy` set? The section `policy` of the admin's file, with every problem in it."""

from __future__ import annotations

import re
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..secret_names import is_secret_name
from ..units import parse_duration
from . import profile_fields as fields
from .catalogue import Tag
from .egress_rules import compile_rules
from .policy_settings import OpaSettings, PolicySettings
from .profile_nodes import Node, Problem
from .reading import Reading

__all__ = ["OPA_KEYS", "POLICY_KEYS", "opa_address", "read_policy"]

T = TypeVar("T")
POLICY_KEYS = (
    "gpus_at_most",
    "open_tags",
    "denied_groups",
    "secrets",
    "hosts",
    "extension_at_most",
    "promoters",
    "opa",
)
OPA_KEYS = ("address", "decision", "timeout")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_DECISION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


def read_policy(node: Node, problems: list[Problem]) -> PolicySettings:
    """The section as a value; what is wrong is added to `problems`. What is absent keeps its default."""
    reader = Reading()
    keys = reader.keys(node, POLICY_KEYS) or {}
    none = PolicySettings()
    settings = PolicySettings(
        gpus_at_most=_or(reader.field(keys, "gpus_at_most", _gpus), none.gpus_at_most),
        open_tags=_or(reader.field(keys, "open_tags", _tags), none.open_tags),
        denied_groups=reader.field(keys, "denied_groups", fields.groups) or (),
        secrets=reader.field(keys, "secrets", _secrets),
        hosts=reader.field(keys, "hosts", _hosts),
        extension_at_most=_or(reader.field(keys, "extension_at_most", _extension), none.extension_at_most),
        promoters=reader.field(keys, "promoters", fields.groups) or (),
        opa=_opa(reader, keys["opa"]) if "opa" in keys else None,
    )
    problems += reader.problems
    return settings


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _opa(reader: Reading, node: Node) -> OpaSettings | None:
    keys = reader.keys(node, OPA_KEYS)
    if keys is None:
        return None
    address = reader.text(keys, "address", node, opa_address, required=True)
    default = OpaSettings(address="")
    return OpaSettings(
        address=address or "",
        decision=_or(reader.field(keys, "decision", _decision), default.decision),
        timeout=_or(reader.field(keys, "timeout", _timeout), default.timeout),
    )


def _gpus(value: Any, field: str) -> int:
    if type(value) is int and 0 <= value <= 64:
        return value
    raise fields.wrong(
        field, value, "is not a number of GPUs", "Write a whole number from 0 to 64, such as 4."
    )


def _tags(value: Any, field: str) -> tuple[Tag, ...]:
    remedy = "Write [public] or [public, internal]; data with another tag needs an approval for each person."
    if not isinstance(value, list):
        raise fields.wrong(field, value, "is not a list of tags", remedy)
    found: list[Tag] = []
    for item in value:
        if item == "public" or item == "internal":
            found.append(item)
        else:
            raise fields.wrong(field, item, "is not a tag that can be open", remedy)
    return tuple(found)


def _secrets(value: Any, field: str) -> tuple[str, ...]:
    remedy = "Write [team/warehouse, users/*]; leave secrets out to leave it to the profiles."
    if not isinstance(value, list):
        raise fields.wrong(field, value, "is not a list of secrets", remedy)
    for item in value:
        if not isinstance(item, str) or not is_secret_name(item.removesuffix("/*")):
            raise fields.wrong(field, item, "is neither a secret's name nor one that ends with /*", remedy)
    return tuple(value)


def _hosts(value: Any, field: str) -> tuple[str, ...]:
    rules = compile_rules(value, field)
    return tuple(f"{rule.pattern}:{port}" for rule in rules for port in rule.ports)


def _extension(value: Any, field: str) -> int:
    seconds = parse_duration(value, field)
    if seconds > 31 * 86400:
        raise fields.wrong(field, value, "is more than 31 days", 'Write a shorter time, such as "8h".')
    return seconds


def opa_address(value: Any, field: str) -> str:
    """The policy server decides who may have what: it is not asked over a network."""
    remedy = "Write http://127.0.0.1:8181 or unix:///run/opa/opa.sock."
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise fields.wrong(field, value, "is not an address", remedy)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise fields.wrong(field, value, "is not an address", remedy) from None
    if parts.query or parts.fragment or parts.username is not None:
        raise fields.wrong(field, value, "has more than a host and a port", remedy)
    if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1:
        return value
    if parts.scheme != "http" or host not in _LOOPBACK or port is None or parts.path not in ("", "/"):
        raise fields.wrong(field, value, "is neither a port of this machine nor a unix socket", remedy)
    return value.rstrip("/")


def _decision(value: Any, field: str) -> str:
    if isinstance(value, str) and len(value) <= 200 and _DECISION.fullmatch(value):
        return value
    raise fields.wrong(field, value, "is not the path of a rule", "Write jupyter_sandbox/decision.")


def _timeout(value: Any, field: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.01 <= value <= 5:
        return float(value)
    raise fields.wrong(field, value, "is not a number of seconds from 0.01 to 5", "Write 0.25.")
