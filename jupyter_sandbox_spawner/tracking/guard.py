"""What stands before MLflow? Every request is known, allowed, bounded and pinned to a workspace.

Law: MLflow sees no header that says who or where but ours; a document is parsed and written anew, so that
what was checked is what is read.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

from ..errors import RefusedError, SandboxError, UnreachableError
from ..rules.tracking import (
    Call,
    Visitor,
    check_workspace,
    checked_document,
    decide,
    foreign_run,
    refusal,
    runs_named,
)
from .artifacts import Upload, upload
from .identity import People

__all__ = [
    "App",
    "Guard",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "Workspaces",
    "answer",
    "headers_of",
    "refuse",
]

log = logging.getLogger("jupyter_sandbox_spawner.tracking")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SELF = "/sandbox/self"  # what `%sandbox mlflow` asks
_WORKSPACE = b"x-mlflow-workspace"
_LARGEST = 16 << 20  # bytes of a document; MLflow holds it in memory. Artifacts are streamed
_BODY_SECONDS = 60.0
# What MLflow's client understands; it hides the sentence of an answer whose status it would try again
# (429, 500, 502, 503, 504), and a try within its patience would be in vain.
_AWAY = 424
_CODES = {400: "INVALID_PARAMETER_VALUE", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
_CODES |= {409: "RESOURCE_ALREADY_EXISTS", _AWAY: "TEMPORARILY_UNAVAILABLE"}


class Workspaces(Protocol):
    """MLflow's workspaces: verbs ensure, has_run."""

    async def ensure(self, name: str, user: str) -> None:
        """Make the workspace unless it is there."""

    async def has_run(self, name: str, run: str) -> bool:
        """Is the run in this workspace?"""


class Guard:
    """An ASGI application around MLflow's own. `pages` is where browsers find it, for `%sandbox mlflow`."""

    def __init__(self, mlflow: App, people: People, workspaces: Workspaces, pages: str = "") -> None:
        self._mlflow = mlflow
        self._people = people
        self._workspaces = workspaces
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; WebSockets are not taken."""
        if scope["type"] == "lifespan":
            await self._mlflow(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["path"] == "/health":
            await answer(send, 200, {"status": "ok"})
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = headers_of(scope)
            visitor = await self._people.visitor(headers, asyncio.get_running_loop().time())
            if scope["path"] == _SELF:
                own = {
                    "user": visitor.user,
                    "workspace": visitor.workspace,
                    "pages": "" if visitor.zone else self._pages,
                }
                await answer(send, 200, own)
                return
            call = decide(scope["method"], scope["path"])
        except SandboxError as error:
            await refuse(send, scope, error)
            return
        await self.admit(visitor, call, scope, receive, send)

    async def admit(self, visitor: Visitor, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one open call of a known person, if its workspace and document are hers."""
        try:
            headers = headers_of(scope)
            check_workspace(visitor, headers.get(_WORKSPACE.decode()))
            await self._workspaces.ensure(visitor.workspace, visitor.user)
            receive, length = await self._checked(visitor, call, headers, receive)
        except SandboxError as error:
            await refuse(send, scope, error)
            return
        pinned = _pinned(scope, visitor, length)
        if call.kind == "artifact":
            await self._artifact(pinned, receive, send)
        else:
            await self._mlflow(pinned, receive, send)

    async def _checked(
        self, visitor: Visitor, call: Call, headers: Mapping[str, str], receive: Receive
    ) -> tuple[Receive, int | None]:
        """The body to pass on, and its length where it was read and checked here."""
        if call.kind == "artifact":
            return receive, None
        try:
            raw = await asyncio.wait_for(_whole(receive), _BODY_SECONDS)
        except asyncio.TimeoutError:
            raise refusal("tracking.bad_body", "The body did not arrive in time.", 408) from None
        if call.kind == "json" and raw:
            document = checked_document(visitor, call, _parsed(raw, headers))
            for run in runs_named(call, document):
                if not await self._workspaces.has_run(visitor.workspace, run):
                    raise foreign_run(run)
            raw = json.dumps(document).encode()
        return _replay(raw, receive), len(raw)

    async def _artifact(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = Upload()
        upload.set(seen)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and seen.refused == "tracking.write_once":
                message = {**message, "status": 409}
            await send(message)

        await self._mlflow(scope, receive, told)


def headers_of(scope: Scope) -> Mapping[str, str]:
    """Headers by name; one that decides something and comes twice is refused."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        text = name.decode("latin-1")
        if text in found and (text.startswith("x-") or text in ("authorization", "content-type")):
            raise refusal("tracking.bad_header", f"The header {text[:40]} comes twice.", 400)
        found[text] = value.decode("latin-1")
    return found


def _pinned(scope: Scope, visitor: Visitor, length: int | None) -> Scope:
    """The request as MLflow sees it: in the visitor's workspace, without her token."""
    dropped = {
        _WORKSPACE,
        b"authorization",
        b"cookie",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"forwarded",
    }
    dropped |= {b"content-length", b"transfer-encoding", b"content-encoding"} if length is not None else set()
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in dropped and not name.startswith(b"x-sandbox-")
    ]
    kept.append((_WORKSPACE, visitor.workspace.encode()))
    if length is not None:
        kept.append((b"content-length", str(length).encode()))
    return {**scope, "headers": kept, "root_path": ""}


def _parsed(raw: bytes, headers: Mapping[str, str]) -> Any:
    if headers.get("content-encoding"):
        raise refusal("tracking.bad_body", "A compressed body is not taken here.", 400)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise refusal("tracking.bad_body", "The body is not JSON.", 400) from None


async def _whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise refusal("tracking.bad_body", "The request ended before its body.", 400)
        body += message.get("body", b"")
        if len(body) > _LARGEST:
            raise refusal("tracking.too_large", f"At most {_LARGEST >> 20} MiB are taken here.", 413)
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def again() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return again


async def refuse(send: Send, scope: Scope, error: SandboxError) -> None:
    """Answer as MLflow would, with our code and sentence."""
    status = _AWAY if isinstance(error, UnreachableError) else error.status
    message = str(error)
    if isinstance(error, UnreachableError):
        message = "The hub does not answer, so nobody can be let in; run the cell again in a minute."
    elif not isinstance(error, RefusedError):
        log.error("%s %s: %s", scope["method"], scope["path"], error)
    log.info("%s %s: %s", scope["method"], scope["path"][:120], error.code)
    document = {
        "error_code": _CODES.get(status, "INTERNAL_ERROR"),
        "message": f"{message} ({error.code})",
        "code": error.code,
    }
    await answer(send, status, document)


async def answer(send: Send, status: int, document: Mapping[str, Any]) -> None:
    """Answer with a JSON document."""
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
