"""How do other programs reach the gateway? JSON over HTTP on a unix socket, from known uids only.

Law: as in serving.py, a caller is known by SO_PEERCRED and every error leaves as `{code, message, ...}`.
It is served with the gateway's own streams: importing a web framework would double the time of a restart.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ..errors import ConfigurationError, RefusedError, SandboxError
from ..serving import peer_credentials
from .requests import Answer, Limits, Request, serve_requests
from .stream import Stream

__all__ = ["Asked", "OwnDoor", "Route", "Text"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

_LIMITS = Limits(bad_request="wire.bad_request", too_slow="wire.too_slow", body=2 << 20)
_JSON = ((b"content-type", b"application/json"),)
_TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)
_ID = "{id}"


@dataclass(frozen=True)
class Asked:
    """One request of a known caller; `sandbox` is the id in its path, if that has one."""

    sandbox: str
    query: Mapping[str, str]
    body: bytes


class Text(str):
    """An answer that is text, not JSON."""


@dataclass(frozen=True)
class Route:
    """`path` may hold `{id}`; what `carry` returns becomes JSON, None an empty answer."""

    method: str
    path: str
    carry: Callable[[Asked], Awaitable[Any]]


class OwnDoor:
    """The listener and its connections."""

    def __init__(self, callers: frozenset[int], routes: Iterable[Route]) -> None:
        self._callers = callers | {0, os.geteuid()}
        self._routes = [(route, route.path.split("/")) for route in routes]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        """Serve on a listening unix socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: Stream(self._accepted), sock=listener, backlog=1024
        )

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, stream: Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, stream: Stream) -> None:
        uid = peer_credentials(stream.socket)[1]
        await serve_requests(stream, _LIMITS, lambda request: self._answer(request, uid))

    async def _answer(self, request: Request, uid: int) -> Answer:
        try:
            if uid not in self._callers:
                raise RefusedError(f"The uid {uid} may not use this socket.", code="caller.not_allowed")
            return _answer_of(await self._carry(request))
        except SandboxError as error:
            log.info("%r %r: %s %s", request.method, request.target, error.code, error)
            return _json(error.as_document(), error.status)
        except Exception:
            log.exception("%r %r failed", request.method, request.target)
            document = {"code": "program.internal", "message": "An internal error; the program's log has it."}
            return _json(document, 500)

    async def _carry(self, request: Request) -> Any:
        path, _, query = request.target.decode("latin-1").partition("?")
        route, sandbox = self._found(request.method.decode("latin-1"), path)
        body = await request.body()
        if body is None:
            raise ConfigurationError(f"At most {_LIMITS.body} bytes are taken.", code="wire.too_large")
        return await route.carry(Asked(sandbox, dict(parse_qsl(query)), body))

    def _found(self, method: str, path: str) -> tuple[Route, str]:
        parts = path.split("/")
        for route, pattern in self._routes:
            if route.method == method and len(parts) == len(pattern):
                pairs = list(zip(pattern, parts, strict=True))
                if all(wanted in (_ID, part) for wanted, part in pairs):
                    return route, next((part for wanted, part in pairs if wanted == _ID), "")
        raise RefusedError(f"There is no {method[:16]} {path[:80]!r}.", code="wire.unknown", status=404)


def _answer_of(document: Any) -> Answer:
    if document is None:
        return Answer(204)
    if isinstance(document, Text):
        return Answer(200, _TEXT, document.encode())
    return _json(document, 200)


def _json(document: Any, status: int) -> Answer:
    return Answer(status, _JSON, json.dumps(document).encode())
