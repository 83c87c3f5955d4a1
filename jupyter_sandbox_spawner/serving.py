"""How does a program serve its unix socket: who may call, and what does an error look like?

Law: a caller is known by SO_PEERCRED, never by a header; every error leaves as `{code, message, ...}`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigurationError, RefusedError, SandboxError

if TYPE_CHECKING:
    from aiohttp import web

__all__ = [
    "application",
    "listening_socket",
    "loopback_socket",
    "peer_credentials",
    "private_directory",
    "raise_descriptor_limit",
    "serve_until_signal",
    "until_signal",
]

log = logging.getLogger("jupyter_sandbox_spawner")
_CREDENTIALS = struct.Struct("iII")


def peer_credentials(connection: socket.socket) -> tuple[int, int, int]:
    """pid, uid and gid of the process that connected to a unix socket (SO_PEERCRED)."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(raw)


def raise_descriptor_limit() -> int:
    """Use every descriptor the administrator allows; returns their number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def private_directory(path: str, mode: int = 0o700) -> str:
    """Make a directory that only this uid (and root) may change; refuse one that another uid owns."""
    Path(path).mkdir(mode=mode, parents=True, exist_ok=True)
    status = os.lstat(path)
    if not os.path.isdir(path) or os.path.islink(path) or status.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(
            f"{path} belongs to uid {status.st_uid}, not to {os.geteuid()}.",
            code="site.directory_foreign",
            remedy=f"Remove it or choose another directory: chown -R {os.geteuid()} {path}",
        )
    if status.st_mode & 0o777 != mode:
        os.chmod(path, mode)
    return path


def listening_socket(path: str, descriptor: int | None = None, mode: int = 0o600) -> socket.socket:
    """The supervisor's socket by descriptor, or one bound at `path`, replacing a dead one."""
    if descriptor is not None:
        return _held(descriptor)
    Path(path).unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o777 & ~mode)
    try:
        bound.bind(path)
    finally:
        os.umask(previous)
    bound.listen(1024)
    bound.setblocking(False)
    return bound


def loopback_socket(port: int, descriptor: int | None = None, host: str = "127.0.0.1") -> socket.socket:
    """The supervisor's TCP socket by descriptor, or one bound at a port (0: any free one) of this machine's
    loopback; `host` is another where programs are on machines of their own."""
    if descriptor is not None:
        return _held(descriptor)
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.listen(1024)
    bound.setblocking(False)
    return bound


def _held(descriptor: int) -> socket.socket:
    held = socket.socket(fileno=descriptor)
    held.setblocking(False)
    return held


def application(callers: frozenset[int] | None) -> web.Application:
    """An aiohttp application that serves only these uids (root and our own are always among them).

    None is for a TCP port, whose application knows its callers by their tokens.
    """
    from aiohttp import web  # half of a program's start; the gateway serves without it

    allowed = None if callers is None else callers | {0, os.geteuid()}

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            if allowed is not None:
                _check_caller(request, allowed)
            return await handler(request)
        except SandboxError as error:
            log.info("%s %s: %s %s", request.method, request.path, error.code, error)
            return web.json_response(error.as_document(), status=error.status)
        except web.HTTPException:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            document = {"code": "program.internal", "message": "An internal error; the program's log has it."}
            return web.json_response(document, status=500)

    return web.Application(middlewares=[guard], client_max_size=2 << 20)


def _check_caller(request: web.Request, allowed: frozenset[int]) -> None:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None:
        raise RefusedError("The caller is gone.", code="caller.unknown")
    uid = peer_credentials(connection)[1]
    if uid not in allowed:
        raise RefusedError(f"The uid {uid} may not use this socket.", code="caller.not_allowed")


async def serve_until_signal(app: web.Application, listener: socket.socket) -> None:
    """Serve on a listening unix socket until SIGTERM or SIGINT, then finish what is running."""
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, handler_cancellation=False)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=1024).start()
        await until_signal()
    finally:
        await runner.cleanup()


async def until_signal() -> None:
    """Return at SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()
