"""What may an admin ask from afar? By the proxy, with a token of the hub or by the page; and Vault?

Law: a token in the header says who asks, whatever the browser adds. Without one it is the page's cookie, and
that counts only as `rules/admin_page.py` says, so that no other page can make an admin's browser ask.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar

from aiohttp import web

from ..clients.hub import TokenOwner
from ..errors import RefusedError, SandboxError
from ..rules.admin_page import ADMIN_SCOPE, PAGE_POLICY, WHY_READ_ONLY, check_call, check_sender
from ..rules.identity import shown_token
from ..rules.page_cookies import Place
from ..rules.page_requests import is_navigation
from .api_admin import AdminApi, asking
from .page_files import PAGES, PageFiles
from .page_login import PageLogin, refusal_page
from .parts import Parts

__all__ = ["ADMIN_SCOPE", "PublicApi"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_KEYS = "/.well-known/jwks.json"
_CALLBACK, _LOGOUT = "/oauth_callback", "/logout"
_by_cookie: ContextVar[bool] = ContextVar("by_cookie", default=False)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OURS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PublicApi:
    """The page and the admin's routes below the service's prefix."""

    def __init__(self, parts: Parts, admin: AdminApi, place: Place, pages: str = PAGES) -> None:
        self._parts = parts
        self._admin = admin
        self._place = place
        self._files = PageFiles(pages)
        self._login = PageLogin(parts, place)

    def add_to(self, app: web.Application) -> None:
        """Add every route; each asks who the caller is before anything else is done."""
        prefix = self._place.prefix
        self._admin.add_shared(app, prefix)
        app.add_routes(
            [
                web.get(f"{prefix}{_KEYS}", self._keys),
                web.get(prefix, self._home),
                web.get(f"{prefix}/", self._shell),
                web.get(f"{prefix}/static/{{name}}", self._static),
                web.get(f"{prefix}{_CALLBACK}", self._finish),
                web.get(f"{prefix}{_LOGOUT}", self._logout),
                web.get(f"{prefix}/api/me", self._me),
            ]
        )
        app.middlewares.append(self._known)

    @web.middleware
    async def _known(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix(self._place.prefix)
        if path == _KEYS:
            # Public by nature: Vault asks for these without a token.
            return await handler(request)
        headers = _lower(request)
        opens = is_navigation(request.method, headers) and not path.startswith("/api/")
        try:
            answer = await self._admitted(request, path, headers, handler)
        except web.HTTPException as error:
            _dress(error)
            raise
        except SandboxError as error:
            log.info("%s %s: %s %s", request.method, request.path[:120], error.code, error)
            document = web.json_response(error.as_document(), status=error.status)
            answer = refusal_page(error, self._place.prefix) if opens else document
        _dress(answer)
        return answer

    async def _admitted(
        self, request: web.Request, path: str, headers: Mapping[str, str], handler: Handler
    ) -> web.StreamResponse:
        token = shown_token(request.headers)
        if token:
            owner = await self._parts.hub.whose(token)
            if owner is None:
                raise RefusedError("The hub does not know this token.", code="identity.unknown", status=401)
        else:
            check_sender(request.method, headers)
            if path in (_CALLBACK, _LOGOUT):
                return await handler(request)
            found = await self._login.owner(headers)
            if found is None:
                if path.startswith("/api/") or not is_navigation(request.method, headers):
                    raise self._nobody(headers)
                return self._login.begin(request, headers)
            owner = found
        await self._check_scope(owner, bool(token))
        if not token and path.startswith("/api/"):
            check_call(request.method, path, headers, self._place.own_host)
        _by_cookie.set(not token)
        asking.set(owner.name)
        return await handler(request)

    def _nobody(self, headers: Mapping[str, str]) -> RefusedError:
        if self._login.has_cookie(headers):
            message, remedy = "Your login has ended.", "Reload the page."
            return RefusedError(message, code="page.session_ended", remedy=remedy, status=401)
        return RefusedError(
            "This needs a token: Authorization: token TOKEN.", code="identity.missing", status=401
        )

    async def _check_scope(self, owner: TokenOwner, by_token: bool) -> None:
        if ADMIN_SCOPE in owner.scopes:
            return
        await self._parts.denials.denied(
            "identity", owner.name, "", "", code="identity.no_admin", owner=owner.name
        )
        message = f"This token lacks the scope {ADMIN_SCOPE}."
        if not by_token:
            message = f"This page is for admins of sandboxes, and {owner.name[:80]} is not among them."
        raise RefusedError(
            message,
            code="identity.no_admin",
            status=403,
            remedy="" if by_token else "Ask your admin for the role sandbox-admin.",
        )

    async def _home(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{self._place.prefix}/"})

    async def _shell(self, request: web.Request) -> web.Response:
        return self._files.shell(request)

    async def _static(self, request: web.Request) -> web.Response:
        return self._files.static(request)

    async def _finish(self, request: web.Request) -> web.Response:
        return await self._login.finish(request, _lower(request))

    async def _logout(self, request: web.Request) -> web.Response:
        return self._login.logout(_lower(request))

    async def _me(self, request: web.Request) -> web.Response:
        can_write = self._place.own_host or not _by_cookie.get()
        document = {
            "name": asking.get(),
            "can_write": can_write,
            "why_not": "" if can_write else WHY_READ_ONLY,
            "currency": (await self._parts.terms.book()).prices.currency,
            "hub": f"{self._place.hub}/",
        }
        return web.json_response(document)

    async def _keys(self, request: web.Request) -> web.Response:
        """The public keys of the broker, by which Vault knows sandboxes (`jwks_url` of its JWT method)."""
        return web.json_response(await self._parts.broker.keys(), headers={"Cache-Control": "max-age=60"})


def _lower(request: web.Request) -> dict[str, str]:
    return {name.lower(): text for name, text in request.headers.items()}


def _dress(answer: web.StreamResponse) -> None:
    """The headers that keep an answer in its place; what is no file of the page is kept by nobody."""
    answer.headers.update(_OURS)
    answer.headers.setdefault("Cache-Control", "no-store")
