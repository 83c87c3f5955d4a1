"""What may an admin ask from afar? By the proxy, with a token of the hub that has the admin scope; and Vault?

Law: the header alone says who asks; no cookie counts, so no page can make an admin's browser ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ..errors import RefusedError
from ..rules.identity import shown_token
from .api_admin import AdminApi, asking
from .parts import Parts

__all__ = ["ADMIN_SCOPE", "PublicApi"]

ADMIN_SCOPE = "custom:sandbox:admin"
_KEYS = "/.well-known/jwks.json"


class PublicApi:
    """The admin's routes below the service's prefix."""

    def __init__(self, parts: Parts, admin: AdminApi, prefix: str) -> None:
        self._parts = parts
        self._admin = admin
        self._prefix = prefix

    def add_to(self, app: web.Application) -> None:
        """Add every route; each asks who the caller is before anything else is done."""
        self._admin.add_shared(app, self._prefix)
        app.router.add_get(f"{self._prefix}{_KEYS}", self._keys)
        app.middlewares.append(self._known)

    @web.middleware
    async def _known(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path == f"{self._prefix}{_KEYS}":
            # Public by nature: Vault asks for these without a token.
            return await handler(request)
        asking.set(await self._name(request))
        answer = await handler(request)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _keys(self, request: web.Request) -> web.Response:
        """The public keys of the broker, by which Vault knows sandboxes (`jwks_url` of its JWT method)."""
        return web.json_response(await self._parts.broker.keys(), headers={"Cache-Control": "max-age=60"})

    async def _name(self, request: web.Request) -> str:
        token = shown_token(request.headers)
        if not token:
            raise RefusedError(
                "This needs a token: Authorization: token TOKEN.", code="identity.missing", status=401
            )
        owner = await self._parts.hub.whose(token)
        if owner is None:
            raise RefusedError("The hub does not know this token.", code="identity.unknown", status=401)
        if ADMIN_SCOPE not in owner.scopes:
            await self._parts.denials.denied(
                "identity", owner.name, "", "", code="identity.no_admin", owner=owner.name
            )
            raise RefusedError(
                f"This token lacks the scope {ADMIN_SCOPE}.", code="identity.no_admin", status=403
            )
        return owner.name
