"""How does a notebook run a cell? It starts a kernel by REST and talks to it over one WebSocket."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp

from .visitor import Refusal, Visitor

__all__ = ["Kernel", "Output"]

_DIED = ("restarting", "autorestarting", "dead")  # what the server tells pages of a kernel it lost


@dataclass
class Output:
    """What a cell gave: printed text, printed errors, the value's plain text, the error's name and text."""

    stdout: str = ""
    stderr: str = ""
    result: str = ""
    error: str = ""
    traceback: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when no exception ended the cell."""
        return not self.error

    def __str__(self) -> str:
        return "\n".join(part for part in (self.stdout, self.result, self.error, self.stderr) if part)


class Kernel:
    """One kernel on a visitor's server; an `async with` starts it and shuts it down."""

    def __init__(self, visitor: Visitor, server: str = "", owner: str | None = None) -> None:
        self.visitor = visitor
        self.server = server
        self.owner = owner
        self.id = ""
        self._socket: aiohttp.ClientWebSocketResponse[bool] | None = None
        self._session = uuid.uuid4().hex

    async def __aenter__(self) -> Kernel:
        document = await self.visitor.call("POST", self._url("api/kernels"), {"name": "python3"})
        self.id = document["id"]
        self._socket = await self.connect()
        await self.execute("pass", timeout=60)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            await self._socket.close()
        try:
            await self.visitor.call("DELETE", self._url(f"api/kernels/{self.id}"))
        except (Refusal, aiohttp.ClientError) as failure:
            if kind is None:
                raise Refusal(500, f"kernel {self.id} could not be shut down: {failure}") from failure

    def _url(self, path: str) -> Any:
        return self.visitor.server(path, self.owner, self.server)

    async def connect(self) -> aiohttp.ClientWebSocketResponse[bool]:
        """Open the kernel's WebSocket as a page of this origin does."""
        url = self._url(f"api/kernels/{self.id}/channels").update_query(session_id=self._session)
        headers = {"Origin": str(url.origin()), "Sec-Fetch-Mode": "websocket"}
        return await self.visitor.session.ws_connect(url, headers=headers, max_msg_size=0)

    async def reconnect(self) -> None:
        """Open the WebSocket anew, as a page does that lost it; messages of meanwhile may be lost."""
        old, self._socket = self._socket, await self.connect()
        if old is not None:
            await old.close()

    async def disconnect(self) -> None:
        """Close the WebSocket, as a browser does that is shut; the kernel runs on."""
        old, self._socket = self._socket, None
        if old is not None:
            await old.close()

    async def submit(self, code: str) -> None:
        """Send code and do not wait for what becomes of it. Raises Refusal."""
        if self._socket is None:
            raise Refusal(500, "the kernel's WebSocket is not open")
        await self._socket.send_str(json.dumps(self._message("execute_request", code)))

    async def execute(self, code: str, timeout: float = 60.0) -> Output:
        """Run code and wait until the kernel is idle again.

        Raises Refusal when the kernel dies, TimeoutError after `timeout` seconds.
        """
        message = self._message("execute_request", code)
        return await asyncio.wait_for(self._run(message), timeout)

    def _message(self, kind: str, code: str) -> dict[str, Any]:
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": kind,
            "username": self.visitor.name,
            "session": self._session,
            "version": "5.4",
        }
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        return {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content | {"user_expressions": {}, "stop_on_error": True},
            "channel": "shell",
            "buffers": [],
        }

    async def _run(self, message: dict[str, Any]) -> Output:
        if self._socket is None:
            raise Refusal(500, "the kernel's WebSocket is not open")
        await self._socket.send_str(json.dumps(message))
        output, waiting = Output(), {"reply", "idle"}
        while waiting:
            received = await self._socket.receive()
            if received.type is not aiohttp.WSMsgType.TEXT:
                raise Refusal(500, f"the kernel's WebSocket ended ({received.type.name})")
            answer = json.loads(received.data)
            if answer["content"].get("execution_state") in _DIED:
                await self.disconnect()
                raise Refusal(500, "the kernel died")
            if answer.get("parent_header", {}).get("msg_id") == message["header"]["msg_id"]:
                waiting -= _take(output, answer)
        return output


def _take(output: Output, answer: dict[str, Any]) -> set[str]:
    kind, content = answer["header"]["msg_type"], answer["content"]
    if kind == "stream" and content["name"] == "stdout":
        output.stdout += content["text"]
    elif kind == "stream":
        output.stderr += content["text"]
    elif kind == "execute_result":
        output.result = content["data"].get("text/plain", "")
    elif kind == "error":
        output.error = f"{content['ename']}: {content['evalue']}"
        output.traceback += content["traceback"]
    elif kind == "execute_reply":
        return {"reply"}
    elif kind == "status" and content["execution_state"] == "idle":
        return {"idle"}
    return set()
