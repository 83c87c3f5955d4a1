"""Do bytes come through two wires as they were sent, each way to its own end and no further?"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
import trustme

from jupyter_sandbox_spawner.wires.stream import CutOffError, PlainEnd, TlsEnd, join, keep_alive

pytestmark = pytest.mark.asyncio
Control = Callable[[str, bool], None]
AUTHORITY = trustme.CA()


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server named far.test, and for whoever trusts it."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.issue_cert("far.test").configure_cert(server)
    AUTHORITY.configure_trust(client)
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    return server, client


def _pair(kind: int = socket.AF_UNIX) -> tuple[socket.socket, socket.socket]:
    if kind == socket.AF_UNIX:
        near, far = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far = listener.accept()[0]
    near.setblocking(False)
    far.setblocking(False)
    return near, far


@contextlib.asynccontextmanager
async def _tls() -> AsyncIterator[tuple[TlsEnd, TlsEnd]]:
    """Two ends of a TLS connection over loopback TCP after their handshake; closed at the end."""
    server, client = contexts()
    near, far = _pair(socket.AF_INET)
    ends = TlsEnd(near, client, "far.test"), TlsEnd(far, server)
    await asyncio.gather(*(end.shake_hands() for end in ends))
    yield ends
    for end in ends:
        end.close()


@contextlib.asynccontextmanager
async def _carried() -> AsyncIterator[tuple[PlainEnd, PlainEnd]]:
    """The outer ends of unix -> TLS -> unix, carried by two joins."""
    async with _tls() as (near, far):
        caller, inner = _pair()
        outer, called = _pair()
        joins = [
            asyncio.ensure_future(join(PlainEnd(inner), near)),
            asyncio.ensure_future(join(far, PlainEnd(outer))),
        ]
        yield PlainEnd(caller), PlainEnd(called)
        caller.close()
        called.close()
        await asyncio.wait_for(asyncio.gather(*joins), 40)


async def _whole(end: PlainEnd | TlsEnd) -> bytes:
    parts = []
    while data := await asyncio.wait_for(end.read(), 30):
        parts.append(data)
    return b"".join(parts)


async def test_megabytes_pass_both_ways_at_once_unchanged() -> None:
    """Random bytes of different lengths in both directions have the same digests on the other side."""
    up, down = random.Random(1).randbytes(5_000_003), random.Random(2).randbytes(3_000_001)
    async with _carried() as (caller, called):

        async def send(end: PlainEnd, data: bytes) -> None:
            await end.write(data)
            await end.finish()

        got = await asyncio.gather(_whole(called), _whole(caller), send(caller, up), send(called, down))
    assert [hashlib.sha256(part or b"").digest() for part in got[:2]] == [
        hashlib.sha256(part).digest() for part in (up, down)
    ]


async def test_whoever_has_said_all_still_hears_the_answer() -> None:
    """The end of one way reaches the other side, and its long answer comes back whole afterwards."""
    async with _carried() as (caller, called):
        await caller.write(b"question")
        await caller.finish()
        assert await _whole(called) == b"question"
        answering = asyncio.ensure_future(called.write(b"a" * 2_000_000))
        answering.add_done_callback(lambda _: called.socket.shutdown(socket.SHUT_WR))
        assert await _whole(caller) == b"a" * 2_000_000


async def test_bytes_that_came_before_our_own_end_are_kept() -> None:
    """What the other side had sent, and what it sends on, is read after we have ended our way."""
    async with _tls() as (near, far):
        await far.write(b"before ")
        await near.finish()
        await far.write(b"after" * 50_000)
        await far.finish()
        assert await _whole(near) == b"before " + b"after" * 50_000
        assert await _whole(far) == b""


async def test_a_cut_is_no_end(control: Control) -> None:
    """A connection that ends without close_notify is an error for the reader, not the end of a message."""
    async with _tls() as (near, far):
        await far.write(b"part")
        assert await near.read() == b"part"
        far.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(CutOffError):
            await near.read()
    async with _tls() as (near, far):
        await far.finish()
        control("a way that ends is read as ended", await near.read() == b"")


async def test_a_slow_reader_holds_its_writer_back(control: Control) -> None:
    """Of an endless stream that nobody reads only buffers' worth is taken; it flows on when it is read."""
    async with _carried() as (caller, called):
        taken = 0

        async def pour() -> None:
            nonlocal taken
            while True:
                await caller.write(b"z" * 65536)
                taken += 65536

        pouring = asyncio.ensure_future(pour())
        before = -1
        while taken != before:  # until nothing moves any more
            before = taken
            await asyncio.sleep(0.3)
        assert 0 < taken < 16 << 20
        for _ in range(400):
            await called.read()
        await asyncio.sleep(0.1)
        control("reading lets it flow", taken > before)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


class _Hasty(socket.socket):
    """A TCP socket whose clocks run thirty times as fast as they are asked to."""

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        clocks = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT)
        if level == socket.IPPROTO_TCP and option in clocks:
            value = max(1, value // 30)
        super().setsockopt(level, option, value)


async def test_a_reader_that_pauses_for_minutes_gets_all(control: Control) -> None:
    """Whoever is there and does not read is waited for: after a pause longer than all clocks it gets all."""
    data = random.Random(3).randbytes(8_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = _Hasty()
        near.connect(listener.getsockname())
        far = listener.accept()[0]
    far.setblocking(False)
    keep_alive(near)
    writing = asyncio.ensure_future(PlainEnd(near).write(data))
    writing.add_done_callback(lambda _: near.close())
    await asyncio.sleep(7)  # the pause: three and a half minutes by the kernel's clocks
    control("the writer waits for it", not writing.done())
    assert hashlib.sha256(await _whole(PlainEnd(far))).digest() == hashlib.sha256(data).digest()
    await writing
    far.close()


async def test_when_one_side_breaks_the_other_learns_it() -> None:
    """A machine that vanishes in the middle ends the local connection too."""
    async with _tls() as (near, far):
        caller, inner = _pair()
        carrying = asyncio.ensure_future(join(PlainEnd(inner), near))
        far.close()
        assert await asyncio.wait_for(PlainEnd(caller).read(), 30) == b""
        await carrying
        caller.close()
