"""Does a tunnel carry every byte both ways, end cleanly, and keep no pipe from others?"""

from __future__ import annotations

import asyncio
import hashlib
import os
import select
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from jupyter_sandbox_spawner.errors import EgressRefusedError
from jupyter_sandbox_spawner.gateway.egress import Limits
from jupyter_sandbox_spawner.gateway.egress.caps import Meter
from jupyter_sandbox_spawner.gateway.egress.pace import Turns
from jupyter_sandbox_spawner.gateway.egress.splice import PIPE_BYTES, Parcel, PipePool
from jupyter_sandbox_spawner.gateway.egress.tunnel import Tunnels

from ..support.waiting import until
from .egress_support import LOOPBACK, Account, RecordingResolver, account, open_door, private

BLOCK = os.urandom(1 << 20)
TOTAL = 200 << 20
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def run(new_loop: NewLoop, work: Coroutine[Any, Any, None]) -> None:
    """Run on this kind of loop."""
    loop = new_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(work, 100))
    finally:
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        if rest:
            loop.run_until_complete(asyncio.wait(rest))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection on loopback."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


class Wiring:
    """A tunnel between a unix client and a TCP server, both ends in the test's hands."""

    def __init__(self, limits: Limits, who: Account | None = None) -> None:
        self.who = who or account()
        self.client, self._inner = socket.socketpair()
        self._outer, self.server = pair()
        for each in (self.client, self._inner, self._outer, self.server):
            each.setblocking(False)
        self.tunnels = Tunnels(limits)
        self.task = asyncio.create_task(self._carry())

    async def _carry(self) -> None:
        with self._inner, self._outer:
            await self.tunnels.carry(self._inner, self._outer, Meter(self.who), Turns())

    async def close(self) -> None:
        self.client.close()
        self.server.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.tunnels.close()


def _send(end: socket.socket, total: int) -> str:
    digest = hashlib.sha256()
    for _ in range(total // len(BLOCK)):
        digest.update(BLOCK)
        end.sendall(BLOCK)
    end.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def _receive(end: socket.socket) -> str:
    digest = hashlib.sha256()
    while data := end.recv(1 << 20):
        digest.update(data)
    return digest.hexdigest()


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("pipes", [pytest.param(128, id="splice"), pytest.param(0, id="copy")])
def test_200_megabytes_pass_both_ways(new_loop: NewLoop, pipes: int) -> None:
    """200 MB go up and 200 MB come down at once through CONNECT, unchanged and counted to the byte."""

    async def work() -> None:
        with socket.create_server((LOOPBACK, 0)) as listener:
            listener.settimeout(10)
            port = listener.getsockname()[1]
            who = account(private("ok.test", port))
            resolver = RecordingResolver({"ok.test": (LOOPBACK,)})
            async with open_door(who, resolver, limits=Limits(pipes=pipes)) as door:
                client = await door.connect(f"ok.test:{port}")
                server, _ = await asyncio.to_thread(listener.accept)
                with client, server:
                    client.setblocking(True)
                    server.setblocking(True)
                    up, down, got_up, got_down = await asyncio.gather(
                        asyncio.to_thread(_send, client, TOTAL),
                        asyncio.to_thread(_send, server, TOTAL),
                        asyncio.to_thread(_receive, server),
                        asyncio.to_thread(_receive, client),
                    )
                await asyncio.wait(door.tasks, timeout=5)
        assert (up, down) == (got_up, got_down)
        assert (who.up, who.down) == (TOTAL, TOTAL)

    run(new_loop, work())


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("pipes", [128, 0])
def test_half_close(new_loop: NewLoop, pipes: int) -> None:
    """The end of one direction is passed on after its bytes, and the other direction still carries."""

    async def work() -> None:
        wiring = Wiring(Limits(pipes=pipes))
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(wiring.client, b"question")
        wiring.client.shutdown(socket.SHUT_WR)
        assert await loop.sock_recv(wiring.server, 100) == b"question"
        assert await loop.sock_recv(wiring.server, 100) == b""
        await loop.sock_sendall(wiring.server, b"answer")
        assert await loop.sock_recv(wiring.client, 100) == b"answer"
        assert not wiring.task.done()
        wiring.server.shutdown(socket.SHUT_WR)
        assert await loop.sock_recv(wiring.client, 100) == b""
        await wiring.task
        assert wiring.tunnels.pool.lent == 0
        await wiring.close()

    run(new_loop, work())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_stalled_client_holds_no_pipe(new_loop: NewLoop) -> None:
    """A client that stops reading gives its pipe back, loses no byte, and leaves others spliced."""

    async def work() -> None:
        wiring = Wiring(Limits(pipes=1, sweep_seconds=0.05))
        loop = asyncio.get_running_loop()
        sent = hashlib.sha256()
        sender = asyncio.create_task(_pour(wiring.server, 64 << 20, sent))
        await until(lambda: wiring.tunnels.pool.lent == 1)
        await until(lambda: wiring.tunnels.pool.lent == 0)
        assert not sender.done()
        got = hashlib.sha256()
        while data := await loop.sock_recv(wiring.client, 1 << 20):
            got.update(data)
        await sender
        assert got.digest() == sent.digest()
        await wiring.close()

    run(new_loop, work())


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("pipes", [128, 0])
def test_a_stalled_receiver_costs_no_cpu(new_loop: NewLoop, pipes: int) -> None:
    """While a receiver takes nothing the loop sleeps, although the sender has more."""

    async def work() -> None:
        wiring = Wiring(Limits(pipes=pipes))
        sender = asyncio.create_task(_pour(wiring.server, 64 << 20, hashlib.sha256()))
        await until(lambda: wiring.tunnels.stalled == 1)
        before = os.times()
        await asyncio.wait({sender}, timeout=0.5)
        after = os.times()
        assert not sender.done()
        assert after.user - before.user + after.system - before.system < 0.25
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        await wiring.close()

    run(new_loop, work())


async def _pour(end: socket.socket, total: int, digest: Any) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(total // len(BLOCK)):
        digest.update(BLOCK)
        await loop.sock_sendall(end, BLOCK)
    end.shutdown(socket.SHUT_WR)


async def test_a_stalled_receiver_is_cut() -> None:
    """A receiver that takes nothing for the stall time is cut, and its bytes go nowhere."""
    wiring = Wiring(Limits(sweep_seconds=0.05, stall_seconds=0.3))
    sender = asyncio.create_task(_pour(wiring.server, 8 << 20, hashlib.sha256()))
    with pytest.raises(TimeoutError, match="took nothing"):
        await wiring.task
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    assert wiring.tunnels.pool.lent == 0
    await wiring.close()


async def test_an_idle_tunnel_is_cut() -> None:
    """A tunnel on which nothing moves is cut after the idle time; one that moves is not."""
    idle = Wiring(Limits(sweep_seconds=0.05, idle_seconds=1.0))
    busy = Wiring(Limits(sweep_seconds=0.05, idle_seconds=1.0))
    loop = asyncio.get_running_loop()
    while not idle.task.done():
        await loop.sock_sendall(busy.client, b"x")
        await loop.sock_recv(busy.server, 10)
        await asyncio.wait({idle.task}, timeout=0.05)
    with pytest.raises(TimeoutError, match="Nothing moved"):
        await idle.task
    assert not busy.task.done()
    await idle.close()
    await busy.close()


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("pipes", [128, 0])
def test_a_reset_ends_both(new_loop: NewLoop, pipes: int) -> None:
    """When one end resets the connection the other end is closed and the pipe is not kept."""

    async def work() -> None:
        wiring = Wiring(Limits(pipes=pipes))
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(wiring.client, b"x")
        assert await loop.sock_recv(wiring.server, 10) == b"x"
        wiring.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        wiring.server.close()
        await asyncio.wait({wiring.task}, timeout=5)
        assert isinstance(wiring.task.exception(), OSError)
        assert await loop.sock_recv(wiring.client, 10) == b""
        assert wiring.tunnels.pool.lent == 0
        await wiring.close()

    run(new_loop, work())


async def test_the_cap_is_exact() -> None:
    """Not one byte more than today's allowance goes through a tunnel."""
    who = account()
    who.allowance = 100_000
    wiring = Wiring(Limits(), who)
    sender = asyncio.create_task(_pour(wiring.client, 1 << 20, hashlib.sha256()))
    with pytest.raises(EgressRefusedError) as caught:
        await wiring.task
    assert caught.value.code == "egress.capped"
    await asyncio.gather(sender, return_exceptions=True)
    received = b""
    while data := await asyncio.get_running_loop().sock_recv(wiring.server, 1 << 20):
        received += data
    assert received == BLOCK[:100_000]
    assert who.up == 100_000
    await wiring.close()


def test_a_pipe_that_may_hold_bytes_is_never_lent_again() -> None:
    """A parcel dropped with bytes in it closes its pipe; an empty one returns it."""
    pool = PipePool(4)
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        parcel = Parcel(pool)
        far.sendall(b"secret")
        assert parcel.take(near, 100) == 6
        assert pool.lent == 1
        parcel.drop()
        assert pool.lent == 0
        assert pool._free == []
        with pytest.raises(BlockingIOError):
            parcel.take(near, 100)
        assert len(pool._free) == 1
    pool.close()


def test_all_pipes_fit_half_of_a_users_quota() -> None:
    """The gateway's pipes take at most half of the 64 MiB that an ordinary user's processes share."""
    assert Limits().pipes * PIPE_BYTES <= 32 << 20


def test_past_the_pool_bytes_are_copied() -> None:
    """When every pipe is lent the next parcel copies, and its bytes survive other parcels' use."""
    pool = PipePool(1)
    first, second, third = Parcel(pool), Parcel(pool), Parcel(pool)
    ends = [socket.socketpair() for _ in range(3)]
    full, _rest = socket.socketpair()
    full.setblocking(False)
    while select.select([], [full], [], 0)[1]:
        full.send(BLOCK)
    for parcel, (near, far), text in zip(
        (first, second, third), ends, (b"one", b"two", b"three"), strict=True
    ):
        far.sendall(text)
        near.setblocking(False)
        assert parcel.take(near, 100) == len(text)
        assert parcel.give(full) is False
    assert pool.lent == 1
    for parcel, (near, far), text in zip(
        (first, second, third), ends, (b"one", b"two", b"three"), strict=True
    ):
        assert parcel.give(near) is True
        assert far.recv(100) == text
        near.close()
        far.close()
    full.close()
    _rest.close()
    pool.close()


def test_bounded_pipes_under_many_tunnels() -> None:
    """Eighty stalled tunnels hold no more pipes than the pool has, and each still carries its bytes."""

    async def work() -> None:
        limits = Limits(pipes=8, sweep_seconds=60.0)
        wirings = [Wiring(limits) for _ in range(80)]
        shared = wirings[0].tunnels
        for wiring in wirings[1:]:
            wiring.tunnels = shared
        loop = asyncio.get_running_loop()
        senders = [asyncio.create_task(_pour(w.server, 2 << 20, hashlib.sha256())) for w in wirings]
        await until(lambda: shared.stalled == 80)
        assert shared.pool.lent == 8
        for wiring in wirings:
            size = 0
            while data := await loop.sock_recv(wiring.client, 1 << 20):
                size += len(data)
            assert size == 2 << 20
        await asyncio.gather(*senders)
        for wiring in wirings:
            await wiring.close()

    run(asyncio.new_event_loop, work())
