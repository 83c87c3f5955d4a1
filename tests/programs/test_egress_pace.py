"""Can a client that sends its bytes one by one make the gateway work for each of them?"""

from __future__ import annotations

import asyncio
import socket

import pytest

from jupyter_sandbox_spawner.gateway.egress.pace import PacedReader, Turns

from .egress_support import (
    LOOPBACK,
    Account,
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
HELLO = b"\x16\x03\x01\x40\x00\x01\x01\xff\xff\x03\x03"
# What comes before the single bytes, and what has been decided when they are sent.
BEGINNINGS = {
    "head": (b"GET http://ok.test/ HTTP/1.1\r\nX: ", []),
    "hello": (connect_head("ok.test:443") + HELLO, []),
    "refused": (get_head("http://other.test/"), ["egress.not_allowed"]),
    "body": (get_head("http://ok.test/", "Content-Length: 1000000", method="POST"), ["egress.allowed"]),
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
        who = account({"host": "ok.test", "ports": [80, 443]})
        services = {"ok.test:443": server.place, "ok.test:80": server.place}
        async with open_door(who, services=services) as door:
            monkeypatch.setattr(loop, "sock_recv", counted)
            beginning, decided = BEGINNINGS[place]
            sent = await _drip(door, beginning)
            print(f"{sent} bytes sent one by one, {reads} reads")
            assert reads <= 30
            control("they were sent one by one, and that is where", (sent, who.codes) == (PIECES, decided))


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


async def test_small_pieces_in_tunnels_have_a_budget(control: Control) -> None:
    """Past a thousand at once the single bytes of tunnels are two thousand reads a second, and all arrive."""
    loop = asyncio.get_running_loop()
    async with serving(_swallow) as server:
        who = _Counted(account(private("ok.test", server.port)).policy)
        async with open_door(who, RecordingResolver({"ok.test": (LOOPBACK,)})) as door:
            tunnels = [await door.connect(f"ok.test:{server.port}") for _ in range(4)]
            begun, sent = loop.time(), 0
            while sent < 4 * PIECES:
                for tunnel in tunnels:
                    sent += await _send_one(tunnel)
                await asyncio.sleep(0)
            for tunnel in tunnels:
                tunnel.close()
            await asyncio.wait(door.tasks, timeout=10)
            seconds = loop.time() - begun
    print(f"{sent} bytes sent one by one in {seconds:.2f} s, carried in {who.pieces} pieces")
    assert who.pieces <= 1000 + 2000 * seconds + len(tunnels)
    assert who.pieces < sent / 2
    control("all arrived, and the first thousand were not held up", who.up == sent and who.pieces >= 1000)


async def test_a_quiet_sandbox_has_its_budget_back(control: Control) -> None:
    """A thousand small pieces wait for nothing, the next ones do, and after a second none again."""
    turns = Turns()
    assert {turns.after_little(100.0) for _ in range(1000)} == {0.0}
    waits = [turns.after_little(100.0) for _ in range(100)]
    control("past a thousand they wait, each longer", waits == sorted(waits) and waits[0] > 0)
    assert turns.after_little(101.0) == 0.0


class _Counted(Account):
    """An account that counts how often bytes were told of."""

    pieces = 0

    def egress_bytes(self, up: int, down: int) -> None:
        super().egress_bytes(up, down)
        self.pieces += 1


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
            sent += await _send_one(client)
            await asyncio.sleep(0)
        return sent


async def _send_one(client: socket.socket) -> int:
    try:
        return client.send(b"a")
    except BlockingIOError:  # as many as the kernel keeps for a reader that is not there yet
        await asyncio.sleep(0.001)
        return 0


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass
