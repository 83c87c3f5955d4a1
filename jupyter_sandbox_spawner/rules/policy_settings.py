"""What does the section `policy` of the rule book set? Numbers and names for the typed rules, and the OPA."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .catalogue import Tag

__all__ = ["RULES", "OpaSettings", "PolicySettings", "settings_digest", "settings_document"]

RULES = 1  # the version of the typed rules; it goes up with every change of what they decide


@dataclass(frozen=True, kw_only=True)
class OpaSettings:
    """An OPA server that may narrow what the rules allow.

    `address` is `http://127.0.0.1:8181` or `unix:///run/opa.sock`; `decision` is the path of the rule below
    `/v1/data/`; `timeout` is in seconds, for one try of two.
    """

    address: str
    decision: str = "jupyter_sandbox/decision"
    timeout: float = 0.25


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """Caps and lists of the typed rules, for every profile alike. They narrow profiles and never widen one.

    `gpus_at_most`: of one sandbox. `open_tags`: datasets with only these need no approval on record; others
    than `public` and `internal` are not read. `denied_groups`: their members are denied everything.
    `secrets`, `hosts`: None leaves it to the profile, empty allows none; a secret's name or `part/*`, and
    `pattern:port` as egress rules have them. `extension_at_most`: seconds of one extension.
    `promoters`: groups that may promote a model without an approval on record. `opa`
    None: the typed rules decide alone. `closed`: the file could not be read, so nothing is allowed.
    """

    gpus_at_most: int = 4
    open_tags: tuple[Tag, ...] = field(default=("public",))
    denied_groups: tuple[str, ...] = ()
    secrets: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    extension_at_most: int = 7 * 86400
    promoters: tuple[str, ...] = ()
    opa: OpaSettings | None = None
    closed: bool = False


def settings_document(settings: PolicySettings) -> dict[str, Any]:
    """What the shipped Rego reads as `data.jupyter_sandbox_settings`; without `digest`."""
    return {
        "rules": RULES,
        "gpus_at_most": settings.gpus_at_most,
        "open_tags": sorted(settings.open_tags),
        "denied_groups": sorted(settings.denied_groups),
        "secrets": None if settings.secrets is None else sorted(settings.secrets),
        "hosts": None if settings.hosts is None else sorted(settings.hosts),
        "extension_at_most": settings.extension_at_most,
        "promoters": sorted(settings.promoters),
    }


@lru_cache(maxsize=16)
def settings_digest(settings: PolicySettings) -> str:
    """SHA-256 (hex) of the rules' version and all that they read."""
    return hashlib.sha256(json.dumps(settings_document(settings), sort_keys=True).encode()).hexdigest()
