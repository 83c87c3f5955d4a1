"""Who is asking MLflow? The door says which sandbox, the hub says whose token, and both must agree.

A browser comes by no door: the hub gave its token to our service, for this person and nothing else.

Law: while the hub does not answer, nobody is let in whose token it did not confirm less than a minute ago.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import unquote

from ..clients.hub import TokenOwner
from ..errors import RefusedError
from ..names import is_sandbox_id
from ..rules.catalogue import ZONES
from ..rules.identity import shown_token
from ..rules.tracking import Visitor, refusal
from ..rules.tracking_pages import ACCESS_SCOPE

__all__ = ["Hub", "People"]

_BELIEVED = 45.0  # seconds; every log_metric is a call
_REFUSED = 5.0  # a token that is wrong stays wrong, and must not make us ask the hub each time
_MOST = 10_000


class Hub(Protocol):
    """Says whose token it is: verbs whose."""

    async def whose(self, token: str) -> TokenOwner | None:
        """The owner, None where the hub does not know it; raises UnreachableError."""


class People:
    """Visitors by their door and token. `clock` gives seconds that only go forward."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._known: dict[str, tuple[float, TokenOwner | None]] = {}

    async def visitor(self, headers: Mapping[str, str], now: float) -> Visitor:
        """Raises RefusedError `tracking.no_door`, `identity.*`, or UnreachableError `hub.unreachable`."""
        sandbox = headers.get("x-sandbox-id", "")
        user, server = (unquote(headers.get(f"x-sandbox-{name}", "")) for name in ("user", "server"))
        zone = headers.get("x-sandbox-zone", "")
        if not is_sandbox_id(sandbox) or not user or zone not in ZONES:
            raise refusal("tracking.no_door", "This comes from no sandbox's door.")
        token = shown_token(headers)
        if not token:
            raise refusal("identity.missing", "This needs the server's hub token.", 401)
        owner = await self._owner(token, now)
        if owner is None:
            raise refusal("identity.unknown", "The hub does not know this token.", 401)
        if not _fits(owner, user, server):
            raise _mismatch()
        return Visitor(user=user, server=server, sandbox=sandbox, zone=zone)

    async def person(self, token: str, now: float) -> Visitor | None:
        """Whose browser it is; None where the token has ended. Raises RefusedError `tracking.no_access`."""
        owner = await self._owner(token, now)
        if owner is None:
            return None
        if owner.kind != "user" or ACCESS_SCOPE not in owner.scopes:
            raise refusal("tracking.no_access", "The hub does not let you open MLflow; ask its admin.")
        return Visitor(user=owner.name)

    async def _owner(self, token: str, now: float) -> TokenOwner | None:
        key = hashlib.sha256(token.encode()).hexdigest()
        known = self._known.get(key)
        if known is not None and now - known[0] < (_REFUSED if known[1] is None else _BELIEVED):
            return known[1]
        owner = await self._hub.whose(token)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (now, owner)
        return owner


def _fits(owner: TokenOwner, user: str, server: str) -> bool:
    """The token of this very server, or one of the person's own for all of hers."""
    scope = "custom:sandbox:self"
    wanted = {f"{scope}!server={user}/{server}", f"{scope}!user={user}"}
    return owner.kind == "user" and owner.name == user and not wanted.isdisjoint(owner.scopes)


def _mismatch() -> RefusedError:
    message = "This token belongs to another server; use the one this server was started with."
    return refusal("identity.mismatch", message)
