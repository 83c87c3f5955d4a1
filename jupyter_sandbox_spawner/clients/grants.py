"""How does the broker ask control what a sandbox may read and whether it runs, and have that written down?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ..rules.grants import Asker, Delivery, Grant
from ..wire import decode, encode
from .unix_http import UnixClient

__all__ = [
    "ControlBrokerClient",
    "CredentialEvent",
    "Granted",
    "ReadAnswer",
    "ReadFailure",
    "ReadRequest",
    "Reader",
    "Running",
    "StoreChange",
]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """The sandbox that reads: whose it is, the groups it was admitted with, and when it must end."""

    sandbox: str
    user: str
    server: str
    profile: str
    groups: tuple[str, ...] = ()
    ends_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What a sandbox may read, and by which profile."""

    profile: str
    reader: Reader
    grants: tuple[Grant, ...] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """Who asks for which secret, how it would be used, and what for: the audit has the verb."""

    asker: Asker
    name: str
    delivery: Delivery = "value"
    verb: Literal["read", "renew", "revoke"] = "read"


@dataclass(frozen=True, kw_only=True)
class ReadAnswer:
    """An allowed read; its line is in the audit."""

    profile: str
    reader: Reader
    grant: Grant


@dataclass(frozen=True, kw_only=True)
class ReadFailure:
    """An allowed read that gave nothing, and why."""

    name: str
    code: str


@dataclass(frozen=True, kw_only=True)
class StoreChange:
    """An admin is about to store, delete or copy a secret, or to end credentials (`name` says whose)."""

    actor: str
    verb: Literal["put", "delete", "copy", "cut_off", "rotate"]
    name: str


@dataclass(frozen=True, kw_only=True)
class CredentialEvent:
    """What became of a credential that a sandbox has; `accessor` names it at the store, and opens nothing."""

    verb: Literal["issued", "revoked", "lost", "alarm"]
    name: str = ""
    accessor: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Running:
    """Those of some sandboxes that run."""

    running: tuple[str, ...]


class ControlBrokerClient(UnixClient):
    """Control's socket for the broker. Raises UnreachableError `control.unreachable`, or AnswerError."""

    def __init__(self, path: str, timeout: float = 5.0) -> None:
        super().__init__("control", path, timeout)

    async def granted(self, sandbox: str, asker: Asker) -> Granted:
        """What the sandbox may read."""
        return decode(Granted, await self.call("POST", f"/api/sandboxes/{sandbox}/grants", encode(asker)))

    async def may_read(self, sandbox: str, request: ReadRequest) -> ReadAnswer:
        """Allowed and audited, or an AnswerError with the reason, which is audited too."""
        return decode(ReadAnswer, await self.call("POST", f"/api/sandboxes/{sandbox}/reads", encode(request)))

    async def running(self, sandboxes: Sequence[str]) -> frozenset[str]:
        """Those that run: admitted, and nobody has decided their end."""
        answer = await self.call("POST", "/api/sandboxes/running", {"running": list(sandboxes)})
        return frozenset(decode(Running, answer).running)

    async def running_of(self, user: str | None) -> frozenset[str]:
        """The running sandboxes of a user; None: of everybody."""
        answer = await self.call("POST", "/api/sandboxes/running-of", {"user": user})
        return frozenset(decode(Running, answer).running)

    async def credential(self, sandbox: str, event: CredentialEvent) -> None:
        """Write down what became of a credential."""
        await self.call("POST", f"/api/sandboxes/{sandbox}/credentials", encode(event))

    async def failed(self, sandbox: str, failure: ReadFailure) -> None:
        """What was allowed could not be given."""
        await self.call("POST", f"/api/sandboxes/{sandbox}/failures", encode(failure))

    async def changing(self, change: StoreChange) -> None:
        """Write down a change before it is made."""
        await self.call("POST", "/api/secrets/changes", encode(change))
