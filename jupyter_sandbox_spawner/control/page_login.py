"""How does the admin's browser log in? By the hub (OAuth 2); then its session's cookie says who asks.

Law: the browser holds random numbers only. The hub's word about a session is believed for ten seconds, and
not at all where it cannot be asked again.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping

from aiohttp import web

from ..clients.hub import TokenOwner
from ..errors import AnswerError, RefusedError, SandboxError, UnreachableError
from ..rules.admin_page import ADMIN_SCOPE, SERVICE
from ..rules.audit import Entry
from ..rules.page_cookies import PageCookies, Place
from ..sessions import Sessions
from .parts import Parts

__all__ = ["PageLogin", "refusal_page"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_CLIENT = f"service-{SERVICE}"
_COOKIE, _BROWSER = "sandbox-admin", "sandbox-admin-login"
_BELIEVED = 10.0  # seconds; a page asks for several things at once
_MOST = 1000


class PageLogin:
    """Logins and sessions of the page's browsers; `headers` are lower-case."""

    def __init__(self, parts: Parts, place: Place) -> None:
        self._parts = parts
        self._place = place
        self._cookies = PageCookies(place)
        self._sessions = Sessions()
        self._believed: dict[str, tuple[float, TokenOwner]] = {}

    def has_cookie(self, headers: Mapping[str, str]) -> bool:
        """Was this browser logged in once?"""
        return bool(self._cookies.read(headers, _COOKIE))

    async def owner(self, headers: Mapping[str, str]) -> TokenOwner | None:
        """Whose browser it is; None where there is no session, or it has ended. Raises UnreachableError."""
        session, now = self._cookies.read(headers, _COOKIE), self._parts.clock.elapsed()
        token = self._sessions.token(session, now) if session else ""
        if not token:
            return None
        known = self._believed.get(session)
        if known is not None and now - known[0] < _BELIEVED:
            return known[1]
        owner = await self._parts.hub.whose(token)
        if owner is None:
            self._forget(session)
            return None
        if len(self._believed) >= _MOST:
            self._believed.clear()
        self._believed[session] = (now, owner)
        return owner

    def begin(self, request: web.Request, headers: Mapping[str, str]) -> web.Response:
        """Send the browser to the hub; it comes back to what it asked for."""
        # As it was sent: decoded, it could hold what ends a header.
        then = request.raw_path
        if not then.startswith(f"{self._place.prefix}/"):
            then = f"{self._place.prefix}/"
        login = self._sessions.begin(self._cookies.read(headers, _BROWSER), then, self._parts.clock.elapsed())
        cookie = self._cookies.written(headers, _BROWSER, login.browser, 600)
        return _redirect(login.address(self._place.hub, _CLIENT), cookie)

    async def finish(self, request: web.Request, headers: Mapping[str, str]) -> web.Response:
        """The browser is back from the hub with a code. Raises RefusedError `page.login_failed`."""
        now = self._parts.clock.elapsed()
        state, code = request.query.get("state", ""), request.query.get("code", "")
        login = self._sessions.finish(state, self._cookies.read(headers, _BROWSER), now)
        if login is None or not code:
            raise _failed("This login was not begun here, or it took too long.")
        try:
            token = await self._parts.hub.token_for(_CLIENT, code, login.verifier)
        except AnswerError as error:
            raise _failed("The hub refused this login.") from error
        owner = await self._parts.hub.whose(token)
        if owner is None:
            raise _failed("The hub does not know the token that it gave.")
        if ADMIN_SCOPE in owner.scopes:
            entry = Entry(actor=f"admin {owner.name}", action="page.login", outcome="allowed")
            await self._parts.audit.write(entry, security=False)
        session = self._sessions.open(token, self._parts.clock.elapsed())
        return _redirect(login.then, self._cookies.written(headers, _COOKIE, session, None))

    def logout(self, headers: Mapping[str, str]) -> web.Response:
        """End the session; the hub's own login stays. Raises RefusedError where another page asks for it."""
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise RefusedError(
                "Another site's page asked for this.", code="page.foreign", remedy="Type the address."
            )
        self._forget(self._cookies.read(headers, _COOKIE))
        answer = _html(200, "You are logged out of this page.", "", self._place.prefix)
        answer.headers["Set-Cookie"] = self._cookies.written(headers, _COOKIE, "", 0)
        return answer

    def _forget(self, session: str) -> None:
        self._sessions.close(session)
        self._believed.pop(session, None)


def refusal_page(error: SandboxError, prefix: str) -> web.Response:
    """A refusal for who opens a page."""
    away = isinstance(error, UnreachableError)
    message = "The hub does not answer; reload in a minute." if away else str(error)
    return _html(503 if away else error.status, message, error.code, prefix)


def _html(status: int, message: str, code: str, prefix: str) -> web.Response:
    text = _PAGE.format(message=html.escape(message), code=html.escape(code), home=html.escape(prefix))
    return web.Response(status=status, text=text, content_type="text/html")


def _redirect(address: str, cookie: str) -> web.Response:
    return web.Response(status=302, headers={"Location": address, "Set-Cookie": cookie})


def _failed(message: str) -> RefusedError:
    return RefusedError(message, code="page.login_failed", remedy="Open the page again.")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandboxes</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"></head>
<body><main><h1>Sandboxes</h1><p>{message}</p><p><small>{code}</small></p>
<p><a href="{home}/">Open the page again</a></p></main></body></html>
"""
