"""How does the link of a pod wait for its gateway? As long as somebody waits at its door, and no longer."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.wires import dial
from jupyter_sandbox_spawner.wires.link import doors
from jupyter_sandbox_spawner.wires.link.doors import PodDoor, bind
from jupyter_sandbox_spawner.wires.link.gateway import Gateway, TicketRefusedError
from jupyter_sandbox_spawner.wires.replicas import Replicas
from tests.programs.test_wires_streams import AUTHORITY, contexts

pytestmark = pytest.mark.asyncio
Control = Callable[[str, bool], None]
SANDBOX = "sb-" + "a" * 20


class FarSide:
    """A gateway's wires that answer as a test wants: one status after the other, the last one for good."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.asked = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One head, one answer; after 200 or 204 a word comes."""
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        body = b"word" if status == 200 else json.dumps({"code": f"test.{status}"}).encode()
        lines = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n\r\n"
        writer.write(lines.encode() + (b"" if status == 204 else body))
        writer.close()


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    """A far side that serves."""
    made = FarSide()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=contexts()[0])
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
async def link(far: FarSide, tmp_path: Path) -> AsyncIterator[tuple[Gateway, str]]:
    """The gateway as a link sees it, and the path of its egress door."""
    (tmp_path / "ticket").write_text("ticket")
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    gateway = Gateway(SANDBOX, "far.test", ("127.0.0.1", far.port), str(tmp_path), "key")
    door = PodDoor("egress", os.geteuid(), gateway)
    listener = bind(str(tmp_path), "egress")
    serving = asyncio.create_task(door.serve(listener))
    yield gateway, str(tmp_path / "egress.sock")
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    listener.close()


async def heard(path: str) -> bytes:
    """What comes through a door up to its end."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_what_may_be_otherwise_in_a_moment_is_asked_again(
    far: FarSide, link: tuple[Gateway, str], status: int
) -> None:
    """A slow disk, a full door and a gateway that restarts cost neither a pod its key nor a caller its
    connection."""
    gateway, path = link
    far.statuses = [status, 204]
    await asyncio.wait_for(gateway.buy(), 20)
    far.statuses = [status, 200]
    assert await heard(path) == b"word"


@pytest.mark.parametrize("status", [401, 403, 407])
async def test_what_is_refused_for_good_is_asked_once(
    far: FarSide, link: tuple[Gateway, str], status: int
) -> None:
    """Who is not known, or not allowed, does not try again."""
    gateway, path = link
    far.statuses = [status]
    with pytest.raises(TicketRefusedError):
        await asyncio.wait_for(gateway.buy(), 20)
    gateway.bought.set()
    assert await heard(path) == b""
    assert far.asked == 2


async def test_a_door_opens_when_the_key_is_bought_and_not_later(
    far: FarSide, link: tuple[Gateway, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits goes on in that moment; meanwhile nothing is looked at again and again."""
    gateway, path = link
    monkeypatch.setattr(doors, "_FIRST", 30.0)
    monkeypatch.setattr(doors, "_LAST", 30.0)
    waiting = asyncio.create_task(heard(path))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    gateway.bought.set()
    assert await asyncio.wait_for(waiting, 10) == b"word"


async def test_who_leaves_while_waiting_is_let_go_at_once(
    link: tuple[Gateway, str], monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """A caller that is gone holds no place; one that has only said all is waited for."""
    monkeypatch.setattr(doors, "_PATIENCE", 60.0)
    gateway, _ = link
    door = PodDoor("egress", os.geteuid(), gateway)
    near, far_end = socket.socketpair()
    far_end.setblocking(False)
    waiting = asyncio.create_task(door._serve(far_end))
    near.sendall(b"question")
    near.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.3)
    control("it is waited for", not waiting.done())
    near.close()
    await asyncio.wait_for(waiting, 5)


async def test_a_name_that_nobody_resolves_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-four calls wait for one look-up, each for its own time; its answer serves later ones."""
    loop = asyncio.get_running_loop()
    asked, answer = [0], asyncio.Event()

    async def resolve(host: str, port: int, **_: Any) -> Any:
        asked[0] += 1
        await answer.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    far = dial.Far("far.test", 1, "far.test", ssl.create_default_context, connect_time=0.2)
    replicas = Replicas(far)
    found = await asyncio.gather(*(replicas.machines() for _ in range(64)), return_exceptions=True)
    assert all(isinstance(item, dial.AwayError) for item in found)
    assert asked == [1]
    answer.set()
    assert [item.host for item in await replicas.machines()] == ["127.0.0.1"]
    assert [item.host for item in await replicas.machines()] == ["127.0.0.1"]
    assert asked == [1]
    replicas.look_again()
    await replicas.machines()
    assert asked == [2]
