"""Does a port of the wires stay open for those who need it, whatever others do to it?"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.rules.wires import Head
from jupyter_sandbox_spawner.wires.counts import Counts
from jupyter_sandbox_spawner.wires.dial import Far, ask, dial
from jupyter_sandbox_spawner.wires.listener import Admitted, Limits, Listener, tcp_listener
from jupyter_sandbox_spawner.wires.nameless import Nameless
from jupyter_sandbox_spawner.wires.stream import TlsEnd
from tests.programs.test_wires_streams import contexts

pytestmark = pytest.mark.asyncio
Control = Callable[[str, bool], None]
HEAD = b"CONNECT boot.sandbox:443 HTTP/1.1\r\nHost: x\r\n\r\n"


class Port:
    """A listener whose judge says 204 to everybody, or does what a test wants."""

    def __init__(self, limits: Limits) -> None:
        server, self.client = contexts()
        self.counts = Counts(asyncio.get_running_loop().time)
        self.listener = Listener("pods", lambda: server, self.judge, self.counts, limits)
        self.bound = tcp_listener("127.0.0.1", 0)
        self.port: int = self.bound.getsockname()[1]
        self.verdict: Callable[[], Any] = lambda: None

    async def judge(self, end: TlsEnd, head: Head, body: bytes, address: str) -> Admitted | None:
        """Answer as the test wants."""
        found = self.verdict()
        if asyncio.iscoroutine(found):
            await found
        await end.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await end.finish()
        return None

    async def served(self) -> bool:
        """Does a newcomer get an answer?"""
        end = await dial(Far("127.0.0.1", self.port, "far.test", lambda: self.client))
        try:
            return (await ask(end, HEAD, 20)).status == 204
        finally:
            end.close()


@contextlib.asynccontextmanager
async def port(limits: Limits) -> AsyncIterator[Port]:
    """A port that is served."""
    made = Port(limits)
    serving = asyncio.create_task(made.listener.serve(made.bound))
    try:
        yield made
        assert not serving.done()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_many_addresses_together_keep_nobody_out(control: Control) -> None:
    """Where all places are taken, the oldest connection of whoever holds most goes for a newcomer."""
    async with port(Limits(of_address=8, of_all=16)) as made:
        control("it is served before", await made.served())
        crowd = [
            await asyncio.open_connection("127.0.0.1", made.port, local_addr=(f"127.0.0.{number}", 0))
            for number in (11, 11, 11, 11, 11, 11, 11, 12, 12, 12, 12, 12, 13, 13, 13, 13)
        ]
        assert await asyncio.wait_for(made.served(), 20)
        reader, _ = crowd[0]
        assert await asyncio.wait_for(reader.read(), 20) == b""
        assert not any(other.at_eof() for other, _ in crowd[1:])
        assert made.counts.refused["pods"]["crowded"] == 1
        for _, writer in crowd:
            writer.close()


async def test_places_are_counted_once() -> None:
    """One that was taken out is not taken out again when it ends, and an address leaves nothing behind."""
    places = Nameless(of_address=2, of_all=2)
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
    places.add("a", tasks[0])
    places.add("a", tasks[1])
    assert places.is_full("a")
    assert places.take_out() == ("a", tasks[0])
    places.remove("a", tasks[0])
    assert not places.is_full("a")
    assert places.take_out() is None
    places.remove("a", tasks[1])
    places.add("b", tasks[2])
    assert places.take_out() is None
    await asyncio.gather(*tasks)


async def test_a_port_whose_accept_fails_says_it_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of any kind is written and waited out; the loop is not held, and whoever comes is served."""
    loop = asyncio.get_running_loop()
    accept, failing = loop.sock_accept, [True]
    tries = 0

    async def fail(listener: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal tries
        tries += 1
        if failing:
            raise OSError(errno.EPERM, "not permitted")
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", fail)
    async with port(Limits()) as made:
        await asyncio.sleep(0.3)
        assert "not permitted" in caplog.text
        assert 1 <= tries < 20
        failing.clear()
        assert await asyncio.wait_for(made.served(), 20)


async def test_a_verdict_may_take_longer_than_a_head(control: Control) -> None:
    """A disk that is slow costs nobody the answer; a head that is slow does."""
    async with port(Limits(head=0.3)) as made:
        made.verdict = lambda: asyncio.sleep(1)
        control("the verdict comes", await made.served())
        end = await dial(Far("127.0.0.1", made.port, "far.test", lambda: made.client))
        assert (await ask(end, HEAD[:20], 20)).code == "wires.slow"
        end.close()


async def test_a_fault_of_ours_fills_no_disk(caplog: pytest.LogCaptureFixture) -> None:
    """However often a stranger finds one, its traceback is written once in ten seconds."""
    async with port(Limits()) as made:

        def fault() -> None:
            raise RecursionError("deep")

        made.verdict = fault
        for _ in range(20):
            with contextlib.suppress(OSError, ssl.SSLError):
                await made.served()
        assert len([item for item in caplog.records if item.levelno >= logging.ERROR]) == 1
