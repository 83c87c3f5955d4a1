"""How does a person's browser see MLflow? Behind the hub's proxy, after a login by the hub (OAuth 2).

Law: a browser is known by its session's cookie alone, no header of a door or token counts; what it may call
says `rules/tracking_pages.py`, and the rest is the guard's.
"""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from ..errors import SandboxError, UnreachableError
from ..rules.page_cookies import PageCookies, Place
from ..rules.page_requests import is_navigation
from ..rules.tracking import Call, Visitor, refusal
from ..rules.tracking_pages import SERVER_INFO, SERVICE, check_sender, decide_page, policy
from ..sessions import Sessions
from .guard import Guard, Message, Receive, Scope, Send, answer, headers_of, refuse
from .identity import People

__all__ = ["Codes", "Pages"]

log = logging.getLogger("jupyter_sandbox_spawner.tracking")
_CALLBACK = "/oauth_callback"
_COOKIE, _BROWSER = "sandbox-mlflow", "sandbox-mlflow-login"
_HOST = b"mlflow.sandbox.internal"  # the one that MLflow is told to serve
# Said to MLflow by us or by nobody.
_DROPPED = (b"host", b"origin", b"referer", b"forwarded", b"authorization")


class Codes(Protocol):
    """The hub's OAuth 2: verbs token_for."""

    async def token_for(self, client: str, code: str, verifier: str) -> str:
        """The token for a code. Raises AnswerError where the hub refuses it, UnreachableError."""


class Pages:
    """An ASGI application for the proxy's connections. `info` is what MLflow says about itself."""

    def __init__(
        self, guard: Guard, people: People, codes: Codes, place: Place, info: Mapping[str, Any]
    ) -> None:
        self._guard = guard
        self._people = people
        self._codes = codes
        self._place = place
        self._cookies = PageCookies(place)
        # Its pages would offer to choose a workspace, and each person has one.
        self._info = {**info, "workspaces_enabled": False}
        self._sessions = Sessions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of a browser."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            await self._serve(scope, receive, send)
        except SandboxError as error:
            await self._say(scope, send, error)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        path = scope["path"].removeprefix(self._place.prefix)
        if path == scope["path"] or not path.startswith("/"):
            await _redirect(send, f"{self._place.prefix}/")
            return
        check_sender(scope["method"], headers)
        if path == _CALLBACK:
            await self._finish(scope, headers, send)
            return
        visitor = await self._visitor(headers)
        if visitor is None:
            if not is_navigation(scope["method"], headers):
                raise refusal("tracking.not_logged_in", "Your login has ended; reload the page.", 401)
            await self._begin(scope, headers, send)
            return
        await self._show(visitor, path, scope, receive, send)

    async def _show(self, visitor: Visitor, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        call = decide_page(scope["method"], path)
        dressed = _dressed(send, call)
        if path == SERVER_INFO:
            await answer(dressed, 200, self._info)
            return
        await self._guard.admit(visitor, call, _inside(scope, path), receive, dressed)

    async def _visitor(self, headers: Mapping[str, str]) -> Visitor | None:
        session = self._cookies.read(headers, _COOKIE)
        token = self._sessions.token(session, _now())
        visitor = await self._people.person(token, _now()) if token else None
        if token and visitor is None:
            self._sessions.close(session)
        return visitor

    async def _begin(self, scope: Scope, headers: Mapping[str, str], send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        # As it was sent: decoded, it could hold what ends a header.
        then = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        login = self._sessions.begin(self._cookies.read(headers, _BROWSER), then, _now())
        address = login.address(self._place.hub, f"service-{SERVICE}")
        await _redirect(send, address, self._cookies.written(headers, _BROWSER, login.browser, 600))

    async def _finish(self, scope: Scope, headers: Mapping[str, str], send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        state, code = (query.get(name, [""])[0] for name in ("state", "code"))
        login = self._sessions.finish(state, self._cookies.read(headers, _BROWSER), _now())
        if login is None or not code:
            raise refusal("tracking.login_failed", "This login was not begun here, or it took too long.", 403)
        token = await self._codes.token_for(f"service-{SERVICE}", code, login.verifier)
        visitor = await self._people.person(token, _now())
        if visitor is None:
            raise refusal("tracking.login_failed", "The hub does not know the token that it gave.", 403)
        log.info("%s logged in by the hub.", visitor.user)
        session = self._sessions.open(token, _now())
        await _redirect(send, login.then, self._cookies.written(headers, _COOKIE, session, None))

    async def _say(self, scope: Scope, send: Send, error: SandboxError) -> None:
        """A refusal as a page for who opens one, else as MLflow's script understands it."""
        dressed = _dressed(send, Call(kind="page"))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not is_navigation(scope["method"], headers):
            await refuse(dressed, scope, error)
            return
        log.info("%s %s: %s %s", scope["method"], scope["path"][:120], error.code, error)
        is_away = isinstance(error, UnreachableError)
        message = "The hub does not answer; reload in a minute." if is_away else str(error)
        body = _PAGE.format(
            message=html.escape(message), code=html.escape(error.code), home=html.escape(self._place.prefix)
        ).encode()
        head = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        status = 503 if is_away else error.status
        await dressed({"type": "http.response.start", "status": status, "headers": head})
        await dressed({"type": "http.response.body", "body": body})


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MLflow</title></head>
<body style="font-family: sans-serif; margin: 4rem auto; max-width: 40rem">
<h1>MLflow</h1><p>{message}</p><p><small>{code}</small></p><p><a href="{home}/">Open MLflow again</a></p>
</body></html>
"""


def _inside(scope: Scope, path: str) -> Scope:
    """The request without its way here."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in _DROPPED and not name.startswith((b"x-forwarded-", b"x-sandbox-", b"sec-"))
    ]
    return {**scope, "path": path, "raw_path": path.encode(), "headers": [*kept, (b"host", _HOST)]}


def _dressed(send: Send, call: Call) -> Send:
    """Sends answers with the headers that keep a page in its place."""
    ours = {
        b"content-security-policy": policy(call).encode(),
        b"x-frame-options": b"DENY" if call.kind != "file" else b"SAMEORIGIN",
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"same-origin",
        b"cross-origin-opener-policy": b"same-origin",
    }

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [
                (name, value)
                for name, value in message.get("headers", ())
                if name.lower() not in (*ours, b"set-cookie")
                and not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*given, *ours.items()]}
        await send(message)

    return dressed


async def _redirect(send: Send, address: str, cookie: str = "") -> None:
    headers = [(b"location", address.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    if cookie:
        headers.append((b"set-cookie", cookie.encode()))
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _now() -> float:
    return asyncio.get_running_loop().time()
