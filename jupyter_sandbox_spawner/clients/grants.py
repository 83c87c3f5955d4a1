"""How does the broker ask control what a sandbox may read, and have that written down?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..rules.grants import Asker, Grant
from ..wire import decode, encode
from .unix_http import UnixClient

__all__ = ["ControlBrokerClient", "Granted", "ReadAnswer", "ReadFailure", "ReadRequest", "StoreChange"]


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What a sandbox may read, and by which profile."""

    profile: str
    grants: tuple[Grant, ...] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """Who asks for which secret; `static`: its value outlives the sandbox."""

    asker: Asker
    name: str
    static: bool


@dataclass(frozen=True, kw_only=True)
class ReadAnswer:
    """An allowed read; its line is in the audit."""

    profile: str
    grant: Grant


@dataclass(frozen=True, kw_only=True)
class ReadFailure:
    """An allowed read that gave nothing, and why."""

    name: str
    code: str


@dataclass(frozen=True, kw_only=True)
class StoreChange:
    """An admin is about to store or delete a secret."""

    actor: str
    verb: Literal["put", "delete"]
    name: str


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

    async def failed(self, sandbox: str, failure: ReadFailure) -> None:
        """What was allowed could not be given."""
        await self.call("POST", f"/api/sandboxes/{sandbox}/failures", encode(failure))

    async def changing(self, change: StoreChange) -> None:
        """Write down a change before it is made."""
        await self.call("POST", "/api/secrets/changes", encode(change))
