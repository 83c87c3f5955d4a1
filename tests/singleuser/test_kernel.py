"""Do kernels and terminals run in the overlay, with what the user installed still there after a restart?"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.singleuser.sandbox import SECRET, Sandbox
from tests.singleuser.test_overlay import _wheel
from tests.singleuser.userserver import BASE_URL, UserServer

pytestmark = pytest.mark.lane("userenv")
AUTHORIZATION = {"Authorization": f"token {SECRET}"}


@pytest.fixture
def alice(place: Sandbox) -> Iterator[UserServer]:
    """Alice's server, running."""
    server = UserServer(place)
    server.start(JUPYTER_SANDBOX="1")
    yield server
    server.close()


async def test_a_terminal_runs_in_the_overlay(alice: UserServer) -> None:
    """A terminal of the server has the overlay's interpreter first on its path."""
    address = f"127.0.0.1:{alice.place.server_port}{BASE_URL}"
    answer = await AsyncHTTPClient().fetch(
        HTTPRequest(f"http://{address}api/terminals", method="POST", body="{}", headers=AUTHORIZATION)
    )
    name = json.loads(answer.body)["name"]
    terminal = await websocket_connect(
        HTTPRequest(f"ws://{address}terminals/websocket/{name}", headers=AUTHORIZATION)
    )
    await terminal.write_message(json.dumps(["stdin", "command -v python; echo E''ND\n"]))
    printed = ""
    while "END" not in printed:
        kind, *rest = json.loads(await terminal.read_message() or "null")
        printed += rest[0] if kind == "stdout" else ""
    terminal.close()
    assert f"{alice.home}/.sandbox/env-" in printed


class Kernel:
    """One kernel of a server, spoken to as a browser does: REST and a WebSocket."""

    def __init__(self, address: str, identifier: str, channels: WebSocketClientConnection) -> None:
        self._address = address
        self._identifier = identifier
        self._channels = channels

    @classmethod
    async def started(cls, server: UserServer) -> Kernel:
        """Start the default kernel."""
        address = f"127.0.0.1:{server.place.server_port}{BASE_URL}api/kernels"
        answer = await AsyncHTTPClient().fetch(
            HTTPRequest(f"http://{address}", method="POST", body="{}", headers=AUTHORIZATION)
        )
        identifier = json.loads(answer.body)["id"]
        return cls(address, identifier, await cls._connected(address, identifier))

    @staticmethod
    async def _connected(address: str, identifier: str) -> WebSocketClientConnection:
        return await websocket_connect(
            HTTPRequest(f"ws://{address}/{identifier}/channels", headers=AUTHORIZATION)
        )

    async def restart(self) -> None:
        """End the kernel's process and start another."""
        self._channels.close()
        await AsyncHTTPClient().fetch(
            HTTPRequest(
                f"http://{self._address}/{self._identifier}/restart",
                method="POST",
                body="{}",
                headers=AUTHORIZATION,
                request_timeout=60,
            )
        )
        self._channels = await self._connected(self._address, self._identifier)

    async def run(self, code: str) -> str:
        """Execute a cell; what it printed, or its traceback."""
        header = {"msg_id": uuid.uuid4().hex, "username": "", "session": "s", "version": "5.3"}
        header["msg_type"] = "execute_request"
        content = {"code": code, "silent": False, "allow_stdin": False, "store_history": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self._channels.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
        printed = ""
        while True:
            answer: dict[str, Any] = json.loads(await self._channels.read_message() or "null")
            if answer["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if answer["msg_type"] == "stream":
                printed += answer["content"]["text"]
            elif answer["msg_type"] == "error":
                printed += "\n".join(answer["content"]["traceback"])
            elif answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return printed

    def close(self) -> None:
        """Hang up."""
        self._channels.close()


async def test_a_kernel_runs_in_the_overlay(alice: UserServer, tmp_path: Path) -> None:
    """`%pip install` in a cell installs into the home; after a restart of the kernel the package is there."""
    (alice.home / "mymodule.py").write_text("print('mine')\n")
    _wheel(tmp_path, "sandboxdemo", "1.2")
    kernel = await Kernel.started(alice)
    try:
        assert await kernel.run("import mymodule") == "mine\n"
        prefix = await kernel.run("import sys; print(sys.prefix)")
        assert prefix.startswith(f"{alice.home}/.sandbox/env-")
        assert "ModuleNotFoundError" in await kernel.run("import sandboxdemo")
        installed = await kernel.run(f"%pip install --no-index --find-links {tmp_path} sandboxdemo")
        assert "Successfully installed sandboxdemo-1.2" in installed
        await kernel.restart()
        assert await kernel.run("import sandboxdemo; print(sandboxdemo.VERSION)") == "1.2\n"
        assert "sandboxdemo 1.2" in await kernel.run("!sandboxdemo-run")
    finally:
        kernel.close()


async def test_a_kernel_knows_its_limits_and_ends_first(alice: UserServer) -> None:
    """In a kernel of the overlay `%sandbox` is loaded, and out of memory it ends before the server."""
    kernel = await Kernel.started(alice)
    try:
        assert "Stops at" in await kernel.run("left = %sandbox ttl\nprint(left)")
        assert await kernel.run("import jupyter_sandbox; print(jupyter_sandbox.ttl().kind)") == "ttl\n"
        blocked = "raise OSError('Tunnel connection failed: 403 Blocked by sandbox: example.com; see')"
        assert "Blocked by sandbox: example.com; see %sandbox egress" in await kernel.run(blocked)
        (server,) = alice.place.children()
        scores = "for who in ('self', {}): print(int(open(f'/proc/{{who}}/oom_score_adj').read()))"
        own, servers = (await kernel.run(scores.format(server))).split()
        assert (int(own), int(servers) < 500) == (500, True)
    finally:
        kernel.close()
