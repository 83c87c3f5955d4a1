"""What does the server say of its own use? Kernels, busy ones, terminals, last activity: told to control.

It is told from inside the server where that starts lean, else by a small process beside it. Neither may harm
the server: what cannot be told is left out, and the next word comes some seconds later. Control's answer may
hold notices, such as that the end is near; what is done about them is imported when there are any.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from .hook import hook_environment
from .notices import TERMINALS_VARIABLE, Heard, Notice

__all__ = ["main", "start_process", "summary", "tell_from"]

EVERY_VARIABLE = "JUPYTER_SANDBOX_CLAIMS_EVERY"
EVERY = 20.0  # seconds; control believes a word for two minutes
PATIENCE = 10.0
MAX_ANSWER = 4 << 20
PASSED_ON = (
    "JUPYTERHUB_API_TOKEN",
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_SERVICE_URL",
    "JUPYTER_RUNTIME_DIR",
    TERMINALS_VARIABLE,
    EVERY_VARIABLE,
)

_Models = Iterable[Mapping[str, Any]]


class _Address(NamedTuple):
    host: str
    port: int
    path: str


def summary(kernels: _Models, terminals: _Models, heard: int = 0) -> dict[str, Any]:
    """The claim, from the models of the server's REST API.

    The server's own last activity is left out: a page's polling moves it.
    """
    kernels, terminals = list(kernels), list(terminals)
    instants = [str(model["last_activity"]) for model in (*kernels, *terminals) if model.get("last_activity")]
    said = {"heard": heard} if heard else {}
    return {
        **said,
        "kernels": len(kernels),
        "busy": sum(model.get("execution_state") == "busy" for model in kernels),
        "terminals": len(terminals),
        "last_activity": max(instants, default=None),
    }


# Inside the server


def tell_from(app: Any) -> None:
    """Tell of a jupyter_server application, as long as its loop runs."""
    address = _control(os.environ)
    if address is not None:
        app.io_loop.add_callback(_keep_telling, app, address, _every(os.environ))


async def _keep_telling(app: Any, address: _Address, every: float) -> None:
    import asyncio  # here: the process beside a server is smaller without it

    from .reacting import offer_events, react

    offer_events(app)
    heard, saving = Heard(), set()
    while True:
        try:
            new = heard.take(await asyncio.wait_for(_tell(app, address, heard.number), PATIENCE))
            if new:
                # Beside the telling, which must go on meanwhile; kept, or it could be collected.
                task = asyncio.ensure_future(react(app, new, heard.kept))
                saving.add(task)
                task.add_done_callback(saving.discard)
        except Exception as error:  # noqa: BLE001 - whatever an extension's manager raises, the server goes on
            app.log.debug("Control was not told: %r", error)
        await asyncio.sleep(heard.wait(every))


async def _tell(app: Any, address: _Address, heard: int) -> bytes:
    import asyncio

    kernels = app.kernel_manager.list_kernels()
    if hasattr(kernels, "__await__"):
        kernels = await kernels
    terminals = app.web_app.settings.get("terminal_manager")
    body = json.dumps(summary(kernels, terminals.list() if terminals else (), heard)).encode()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(_request("POST", address, body))
        answer = b""
        while len(answer) < MAX_ANSWER and (chunk := await reader.read(65536)):
            answer += chunk
        return answer
    finally:
        writer.close()


# Beside the server


def start_process(environment: Mapping[str, str]) -> None:
    """Start the process that tells of the server which this process is about to become."""
    if os.fork():
        return
    kept = hook_environment(environment)
    kept |= {name: environment[name] for name in PASSED_ON if name in environment}
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # else whoever reads the server's log would wait for us too
        os.dup2(nowhere, descriptor)
    inside = os.path.dirname(os.path.realpath(__file__))
    try:
        os.execve(sys.executable, [sys.executable, "-I", "-S", "-B", inside, "claims"], kept)  # noqa: S606
    finally:
        os._exit(1)


def main(arguments: list[str]) -> int:
    """Tell until the server, our parent, is gone."""
    server, control = _address(os.environ.get("JUPYTERHUB_SERVICE_URL", "")), _control(os.environ)
    if server is None or control is None:
        return 1
    token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    parent, heard = os.getppid(), Heard()
    while os.getppid() == parent:
        # Not listening yet, too busy to answer, or control is away: the next word may arrive.
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            kernels, terminals = (_models(server, what, token) for what in ("kernels", "terminals"))
            claim = json.dumps(summary(kernels, terminals, heard.number)).encode()
            new = heard.take(_exchange(control, _request("POST", control, claim)))
            if new:
                _act(server, token, new, heard)
        time.sleep(heard.wait(_every(os.environ)))
    return 0


def _act(server: _Address, token: str, new: list[Notice], heard: Heard) -> None:
    from .save import CHECKPOINT_LIMIT, open_notebooks, save, show

    show(new, heard.kept, os.environ)
    for notice in new:
        if notice.kind == "save":
            until, paths = time.monotonic() + CHECKPOINT_LIMIT, []
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                paths = open_notebooks(_models(server, "sessions", token, until))
            made = {path: _checkpoint(server, token, path, until) for path in paths}
            save(os.environ, notice, made)


def _checkpoint(server: _Address, token: str, notebook: str, until: float) -> str:
    path = f"{server.path.rstrip('/')}/api/contents/{quote(notebook)}/checkpoints?no_track_activity=1"
    try:
        answer = _exchange(server, _request("POST", server._replace(path=path), token=token), until)
    except OSError as error:
        return str(error)
    status = answer.partition(b"\r\n")[0].decode("latin-1")
    return "" if " 201 " in status else f"The server answered: {status}"


def _models(server: _Address, what: str, token: str, until: float | None = None) -> Any:
    path = f"{server.path.rstrip('/')}/api/{what}?no_track_activity=1"
    answer = _exchange(server, _request("GET", server._replace(path=path), token=token), until)
    head, _, body = answer.partition(b"\r\n\r\n")
    return json.loads(body) if b" 200 " in head.partition(b"\r\n")[0] else []


def _exchange(address: _Address, request: bytes, until: float | None = None) -> bytes:
    """The whole answer; raises OSError when that is not there in time."""
    until = time.monotonic() + PATIENCE if until is None else until
    with socket.create_connection((address.host, address.port), _left(until)) as connection:
        connection.sendall(request)
        answer, chunk = b"", b"."
        while chunk and len(answer) < MAX_ANSWER:
            connection.settimeout(_left(until))
            chunk = connection.recv(65536)
            answer += chunk
    return answer


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("It took too long.")
    return left


# Both


def _request(method: str, address: _Address, body: bytes = b"", token: str = "") -> bytes:
    # HTTP/1.0: the answer ends with the connection, and is not chunked.
    lines = [f"{method} {address.path} HTTP/1.0", f"Host: {address.host}:{address.port}"]
    if token:
        lines.append(f"Authorization: token {token}")
    if method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _control(environment: Mapping[str, str]) -> _Address | None:
    hub = _address(environment.get("JUPYTERHUB_API_URL", ""))
    if hub is None or not hub.path.endswith("hub/api"):
        return None
    return hub._replace(path=f"{hub.path.removesuffix('hub/api')}services/sandbox/api/self/claims")


def _address(url: str) -> _Address | None:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return None
    return _Address(parts.hostname, parts.port or 80, parts.path)


def _every(environment: Mapping[str, str]) -> float:
    try:
        return max(0.1, float(environment.get(EVERY_VARIABLE, EVERY)))
    except ValueError:
        return EVERY
