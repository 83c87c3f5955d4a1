"""What may leave a sandbox: by its egress door, and by its user's browser? Frozen values, as in models.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["BrowserPolicy", "EgressPolicy", "EgressRule"]


@dataclass(frozen=True, kw_only=True)
class EgressRule:
    """One line of an allowlist.

    `pattern` is `example.com` (exact), `*.example.com` (sub-domains, not the apex) or an IP network
    in CIDR form; `ports` are never empty; `allow_private` are networks in CIDR form that the name may
    resolve to although they are not global. `text` is the rule as the admin wrote it. `until`: when it ends,
    of one that an admin gave for a time; None for those of the profile.
    """

    pattern: str
    ports: tuple[int, ...]
    allow_private: tuple[str, ...] = ()
    text: str = ""
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class EgressPolicy:
    """Rules for outbound traffic of one sandbox. No rules: everything is refused."""

    rules: tuple[EgressRule, ...] = ()
    max_connections: int = 128
    new_connections_per_second: float = 50.0
    bytes_per_day: int | None = None


@dataclass(frozen=True, kw_only=True)
class BrowserPolicy:
    """What browsers may get from one sandbox's server.

    `hosts` are origins (`https://cdn.example`) that its pages may load from besides their own. `downloads`
    False keeps files back. `bytes_per_day` (UTC) None means no cap.
    """

    hosts: tuple[str, ...] = ()
    downloads: bool = True
    bytes_per_day: int | None = None
