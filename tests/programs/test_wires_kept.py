"""Is a connection between programs used again, byte for byte, and never one that does not lead on?"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from jupyter_sandbox_spawner.clients.unix_http import UnixClient
from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.rules.wires import Head
from jupyter_sandbox_spawner.serving import application, listening_socket
from jupyter_sandbox_spawner.wires import dial, kept, outward
from jupyter_sandbox_spawner.wires.counts import Counts
from jupyter_sandbox_spawner.wires.dial import Far
from jupyter_sandbox_spawner.wires.listener import Admitted, Limits, Listener, tcp_listener
from jupyter_sandbox_spawner.wires.outward import Outward
from jupyter_sandbox_spawner.wires.stream import TlsEnd
from jupyter_sandbox_spawner.wires.tls import TlsFiles
from tests.programs.wires_street import Certificates

pytestmark = pytest.mark.asyncio
Control = Callable[[str, bool], None]
HOST = "127.0.0.1"


class Road:
    """A launcher's wires and the hub's, in this process; `launcher.sock` and `hub.sock` are their ends."""

    def __init__(self, root: str) -> None:
        self.root = root
        certificates = Certificates(root)  # type: ignore[arg-type]
        self.launcher = TlsFiles(certificates.make("launcher", HOST))
        self.hub = TlsFiles(certificates.make("hub", HOST))
        self.certificates = certificates
        self.counts = Counts(asyncio.get_running_loop().time)
        self.tasks: list[asyncio.Task[None]] = []
        self.port = 0

    async def judge(self, end: TlsEnd, head: Head, body: bytes, address: str) -> Admitted:
        """Everybody to the launcher."""
        return Admitted(f"{self.root}/launcher.sock", "hub", contextlib.nullcontext(), head.framed)

    def serve(self) -> asyncio.Task[None]:
        """Start the launcher's wires, at the same port again."""
        listener = Listener("in", self.launcher.server_context, self.judge, self.counts, Limits())
        bound = tcp_listener(HOST, self.port)
        self.port = bound.getsockname()[1]
        self.tasks.append(asyncio.create_task(listener.serve(bound)))
        return self.tasks[-1]

    def dial(self) -> None:
        """Start the hub's."""
        far = Far(HOST, self.port, HOST, self.hub.client_context)
        wire = Outward("launcher", "launcher", far, self.hub, self.counts)
        self.tasks.append(asyncio.create_task(wire.serve(listening_socket(f"{self.root}/hub.sock"))))

    @property
    def handshakes(self) -> int:
        """How often the launcher's wires have shaken hands."""
        return self.counts.handshakes["in"]

    async def speaks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer with the digest of all that comes, and then with all of it."""
        data = await reader.read()
        writer.write(hashlib.sha256(data).digest() + data)
        await writer.drain()
        writer.close()


@pytest.fixture
async def road() -> AsyncIterator[Road]:
    """Both wires, and a launcher that sends back what it got."""
    root = tempfile.mkdtemp(prefix="wkp-", dir="/tmp")
    made = Road(root)
    made.serve()
    made.dial()
    server = await asyncio.start_unix_server(made.speaks, f"{root}/launcher.sock")
    try:
        yield made
    finally:
        server.close()
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        shutil.rmtree(root)


async def call(road: Road, data: bytes) -> bytes:
    """One use of the wire: say all, hear all."""
    reader, writer = await asyncio.open_unix_connection(f"{road.root}/hub.sock", limit=1 << 20)
    try:
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 40)
    finally:
        writer.close()


async def test_calls_one_after_another_shake_hands_once(road: Road, control: Control) -> None:
    """Of nothing, a little and megabytes, each call gets its own bytes back and not one of another's."""
    for number, size in enumerate((0, 1, 32 << 10, (32 << 10) + 1, 3_000_001, 5)):
        data = random.Random(number).randbytes(size)
        got = await call(road, data)
        assert got == hashlib.sha256(data).digest() + data
        await asyncio.sleep(0.05)  # until the connection was put by
    assert road.handshakes == 1
    control(
        "calls at once have one each", len(await asyncio.gather(*(call(road, b"x") for _ in range(5)))) == 5
    )
    assert 2 <= road.handshakes <= 5


async def test_a_caller_that_is_cut_off_spoils_none_for_the_next(road: Road) -> None:
    """One that leaves in the middle of a long answer costs its connection; the next call is whole."""
    for _ in range(3):
        reader, writer = await asyncio.open_unix_connection(f"{road.root}/hub.sock")
        writer.write(b"z" * 5_000_000)
        writer.transport.abort()
        del reader
        assert (await call(road, b"next"))[32:] == b"next"


async def test_one_that_has_gone_meanwhile_costs_no_call(road: Road, control: Control) -> None:
    """The other wires start anew between two calls: the second is carried over a new connection."""
    assert (await call(road, b"one"))[32:] == b"one"
    await asyncio.sleep(0.05)
    road.tasks[0].cancel()
    await asyncio.gather(road.tasks[0], return_exceptions=True)
    road.serve()
    assert (await call(road, b"two"))[32:] == b"two"
    control("it needed a new handshake", road.handshakes == 2)


async def test_a_machine_that_fell_silent_costs_a_moment(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept connection whose other side answers nothing is given up for a new one."""
    assert (await call(road, b"one"))[32:] == b"one"
    await asyncio.sleep(0.05)
    ask, silent = dial.ask, [True]

    async def unheard(end: TlsEnd, head: bytes, seconds: float) -> Any:
        return await ask(end, b"" if silent.pop() else head, 0.5) if silent else await ask(end, head, seconds)

    monkeypatch.setattr(outward, "ask", unheard)
    assert (await call(road, b"two"))[32:] == b"two"
    assert road.handshakes == 2


async def test_of_those_to_a_silent_machine_one_is_asked(
    road: Road, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """The first that answers nothing speaks for all that are kept: a call waits once, not for each."""
    await asyncio.gather(*(call(road, b"x" * 100_000) for _ in range(5)))
    await asyncio.sleep(0.05)
    before, ask, silent = road.handshakes, dial.ask, []

    async def unheard(end: TlsEnd, head: bytes, seconds: float) -> Any:
        if seconds == Far.answer_time:
            return await ask(end, head, seconds)
        silent.append(end)
        return await ask(end, b"", 0.2)

    control("several are kept", before >= 2)
    monkeypatch.setattr(outward, "ask", unheard)
    assert (await call(road, b"two"))[32:] == b"two"
    assert (len(silent), road.handshakes) == (1, before + 1)


async def test_none_is_used_after_the_certificates_changed(road: Road, control: Control) -> None:
    """On either side new papers mean a new handshake, and an old connection is not asked."""
    for files in (road.hub, road.launcher):
        before = road.handshakes
        await call(road, b"x")
        await asyncio.sleep(0.05)
        await call(road, b"x")
        control("it is used again before", road.handshakes <= before + 1)
        await asyncio.sleep(0.05)
        used = road.handshakes
        new = road.certificates.make(files.program, HOST)
        for name in ("certificate.pem", "key.pem"):
            os.replace(new / name, files.directory / name)
        assert (await call(road, b"y"))[32:] == b"y"
        assert road.handshakes == used + 1
        await asyncio.sleep(0.05)


async def test_none_is_kept_for_long(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle ones are closed by the side that made them, and one that is old is not used again."""
    monkeypatch.setattr(kept, "_IDLE", 0.1)
    await call(road, b"x")
    await asyncio.sleep(0.5)
    await call(road, b"x")
    assert road.handshakes == 2
    monkeypatch.setattr(kept, "_IDLE", 20.0)
    monkeypatch.setattr(kept, "_LIFE", 0.1)
    await asyncio.sleep(0.5)
    await call(road, b"x")
    await asyncio.sleep(0.2)
    await call(road, b"x")
    assert road.handshakes == 4


async def test_another_uid_is_told_that_the_wire_is_not_its(
    road: Road, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, control: Control
) -> None:
    """It gets a refusal with a remedy, the log names it, and nothing is carried."""
    app = application(None)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    os.unlink(f"{road.root}/launcher.sock")
    await web.SockSite(runner, listening_socket(f"{road.root}/launcher.sock")).start()
    async with UnixClient("launcher", f"{road.root}/hub.sock") as client:
        with pytest.raises(AnswerError) as caught:
            await client.call("GET", "/nothing")
        control("our own is carried", caught.value.status == 404)
        used = road.counts.handshakes["in"]
        monkeypatch.setattr(outward, "peer_credentials", lambda _: (1, 54321, 54321))
        with pytest.raises(AnswerError) as caught:
            await client.call("GET", "/nothing")
    assert caught.value.code == "caller.not_allowed"
    assert re.search(r"uid 54321 may not", caplog.text)
    assert road.counts.handshakes["in"] == used
    await runner.cleanup()
