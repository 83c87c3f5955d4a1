"""Who is asking through a sandbox's door? The gateway says which sandbox, the hub says whose token.

Law: both must agree; a token of another server is refused here and audited, whatever it may do elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy import Connection

from ..errors import RefusedError, UnreachableError
from ..names import is_sandbox_id
from ..rules.identity import SANDBOX_HEADER, fits, shown_token
from . import records
from .parts import Parts
from .records import SandboxRecord

__all__ = ["SANDBOX_HEADER", "People", "unknown_sandbox"]

_BELIEVED = 10.0  # seconds; a page asks for several things at once
_MOST = 10_000


class People:
    """Answers by socket identity and token; remembers the hub's word for a moment, never past a release."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._believed: dict[tuple[str, str], tuple[float, str]] = {}

    async def sandbox(self, headers: Mapping[str, str]) -> SandboxRecord:
        """The open record that the gateway's header names. Raises RefusedError `sandbox.unknown`."""
        name = headers.get(SANDBOX_HEADER, "")
        if not is_sandbox_id(name):
            raise unknown_sandbox(name)

        def find(connection: Connection) -> SandboxRecord | None:
            return records.by_id(connection, name)

        record = await self._parts.store.run(find)
        if record is None or not record.is_open:
            raise unknown_sandbox(name)
        return record

    async def reader(self, headers: Mapping[str, str], record: SandboxRecord) -> None:
        """May what asks read? The socket is enough; a token, if one is shown, must belong here.

        While the hub does not answer, a token cannot be judged and the socket counts alone.
        """
        if not shown_token(headers):
            return
        try:
            await self.actor(headers, record)
        except UnreachableError:
            return

    async def actor(self, headers: Mapping[str, str], record: SandboxRecord) -> str:
        """The person behind a token with this very server's scope. Raises RefusedError `identity.*`."""
        token = shown_token(headers)
        if not token:
            raise RefusedError("This needs the server's token.", code="identity.missing", status=401)
        key = (hashlib.sha256(token.encode()).hexdigest(), record.id)
        now = self._parts.clock.elapsed()
        known = self._believed.get(key)
        if known is not None and now - known[0] < _BELIEVED:
            return known[1]
        owner = await self._parts.hub.whose(token)
        if owner is None:
            raise RefusedError("The hub does not know this token.", code="identity.unknown", status=401)
        if not fits(owner.name, owner.scopes, record.user, record.server):
            await self._parts.denials.denied(
                "identity", record.user, record.server, record.id, code="identity.mismatch", owner=owner.name
            )
            message = "This token belongs to another server; use the one this server was started with."
            raise RefusedError(message, code="identity.mismatch", status=403)
        if len(self._believed) >= _MOST:
            self._believed.clear()
        self._believed[key] = (now, owner.name)
        return owner.name

    def forget(self, sandbox: str) -> None:
        """It was released: nothing is believed about it any more."""
        self._believed = {key: value for key, value in self._believed.items() if key[1] != sandbox}


def unknown_sandbox(name: str) -> RefusedError:
    """The error for an id that is not open."""
    return RefusedError(f"There is no running sandbox {name[:40]!r}.", code="sandbox.unknown", status=404)
