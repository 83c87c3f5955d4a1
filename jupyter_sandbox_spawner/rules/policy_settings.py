"""What does the section `policy` of the rule book set? Numbers and names for the typed rules, and the OPA."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["OpaSettings", "PolicySettings"]


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
    """Caps and lists of the typed rules, for every profile alike.

    `gpus_at_most`: of one sandbox. `open_tags`: datasets with only these need no approval on record.
    `opa` None: the typed rules decide alone.
    """

    gpus_at_most: int = 4
    open_tags: tuple[str, ...] = field(default=("public",))
    opa: OpaSettings | None = None
