"""Can a client that sends its bytes one by one make the gateway work for each of them?"""

from __future__ import annotations

import asyncio
import socket

import pytest

from jupyter_sandbox_spawner.gateway.egress.pace import PacedReader, Turns

from .egress_support import (
    LOOPBACK,
    Control,
    Door,
    RecordingResolver,
    account,
    connect_head,
    get_head,
    open_door,
    private,
    serving,
)

PIECES = 1500
BEGINNINGS = {
    "head": b"GET http://ok.test/ HTTP/1.1\r\nX: ",
    "hello": connect_head("ok.test:443") + b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03",
    "refused": get_head("http://other.test/"),
    "body": get_head("http://ok.test/", "Content-Length: 1000000", method="POST"),
}


@pytest.mark.proves("E19")
@pytest.mark.parametrize("place", BEGINNINGS)
async def test_single_bytes_are_read_together(
    place: str, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a head, a hello, a body or what follows a refusal a thousand single bytes are a few dozen reads."""
    reads = 0
    loop = asyncio.get_running_loop()
    receive = loop.sock_recv

    async def counted(client: socket.socket, most: int) -> bytes:
        nonlocal reads
        reads += 1
        return await receive(client, most)

    async with serving(_swallow) as server:
        who = account("ok.test", private("ok.test", server.port))
        services = {"ok.test:443": server.place, "ok.test:80": server.place}
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)}), services) as door:
            monkeypatch.setattr(loop, "sock_recv", counted)
            sent = await _drip(door, BEGINNINGS[place])
            print(f"{sent} bytes sent one by one, {reads} reads")
            assert reads <= 30
            control("they were sent one by one", sent == PIECES)


async def test_what_comes_whole_does_not_wait(control: Control) -> None:
    """The first read is made at once; so is the next where the one before brought plenty."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        turns = _NoTurns()
        reader = PacedReader(near, turns, plenty=100)
        far.send(b"a" * 100)
        assert await reader.receive(100) == b"a" * 100
        far.send(b"b" * 100)
        assert await reader.receive(99) == b"b" * 99
        assert turns.waited == []
        assert await reader.receive(100) == b"b"
        far.send(b"c")
        assert await reader.receive(100) == b"c"
        control("after little it waits, and longer", turns.waited == sorted(turns.waited) != [])
        far.close()
        assert await reader.receive(100) == b""


async def test_the_turns_of_one_sandbox_follow_one_another(control: Control) -> None:
    """Forty connections that wait at once are not read at once, and another sandbox waits for none."""
    loop = asyncio.get_running_loop()
    crowd, other = Turns(), Turns()
    begun = loop.time()
    waiting = [asyncio.create_task(crowd.after(0.001)) for _ in range(40)]
    await asyncio.sleep(0)
    await other.after(0.001)
    control("the other's turn comes first", not waiting[-1].done())
    await asyncio.gather(*waiting)
    assert loop.time() - begun >= 39 * 0.005


class _NoTurns(Turns):
    """Turns that come at once and remember how long was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    async def after(self, seconds: float) -> None:
        self.waited.append(seconds)


async def _drip(door: Door, beginning: bytes) -> int:
    """Send a beginning, then single bytes, each in a turn of the loop of its own; how many were sent."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        client.connect(door.path)
        client.send(beginning)
        sent = 0
        while sent < PIECES:
            try:
                sent += client.send(b"a")
            except BlockingIOError:  # as many as the kernel keeps for a reader that is not there yet
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        return sent


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass
