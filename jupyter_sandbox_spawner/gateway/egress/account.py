"""Whose traffic is it? What the egress proxy needs to know and to tell about one sandbox."""

from __future__ import annotations

from typing import Protocol

from ...models import EgressPolicy
from ...rules.egress import Decision

__all__ = ["EgressAccount"]


class EgressAccount(Protocol):
    """One sandbox: verbs id, user, server, zone, policy, egress_decided, egress_bytes, egress_allowance."""

    @property
    def id(self) -> str:
        """The sandbox's id."""

    @property
    def user(self) -> str:
        """Whose it is."""

    @property
    def server(self) -> str:
        """The name of its server; empty for the default one."""

    @property
    def zone(self) -> str:
        """The zone of its data; empty for the ordinary one."""

    @property
    def policy(self) -> EgressPolicy:
        """The policy that holds now; read again for every connection."""

    def egress_decided(self, host: str, port: int, verb: str, decision: Decision, address: str = "") -> None:
        """Audit one decision; `address` is the one that will be connected to."""

    def egress_bytes(self, up: int, down: int) -> None:
        """Count bytes since the last call, out of and into the sandbox."""

    def egress_allowance(self) -> int | None:
        """Bytes left today, both ways together; None without a cap."""
