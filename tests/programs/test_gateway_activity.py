"""Does the gateway see that a server is used, and does it remember that across a restart?"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.gateway.memory import Memory, Use
from jupyter_sandbox_spawner.models import EgressPolicy, EgressRule, GatewayInventory
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house, shut
from tests.programs.notebook_stand_in import Server
from tests.rules.test_activity import PREFIX, QUIET, USE, kernel_message

in_one_loop = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[GatewayHouse]:
    async with gateway_house() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(house: GatewayHouse) -> AsyncIterator[aiohttp.ClientSession]:
    """Ada's server behind the gateway, and a browser for it."""
    server = Server("ada")
    _, directory = await house.open(entry("ada"))
    await server.start(directory)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{house.front_port}") as session:
        yield session
    await server.stop()


async def seen(house: GatewayHouse) -> GatewayInventory:
    """What the gateway knows of its only sandbox."""
    (found,) = await house.client.inventory()
    return found


@in_one_loop
async def test_a_quiet_tab_is_no_use_and_a_person_is(
    house: GatewayHouse, browser: aiohttp.ClientSession, control: Control
) -> None:
    """Everything a quiet tab sends passes and leaves the last activity alone; a person's request moves it."""
    for line in QUIET:
        method, path = line.decode().split(" ")
        async with browser.request(method, PREFIX + path) as answer:
            assert answer.status == 200
    assert (await seen(house)).last_activity is None
    method, path = USE[0].decode().split(" ")
    async with browser.request(method, PREFIX + path) as answer:
        assert answer.status == 200
    control("a page is use", (await seen(house)).last_activity is not None)


@in_one_loop
async def test_frames_of_a_websocket_are_told_apart(
    house: GatewayHouse, browser: aiohttp.ClientSession
) -> None:
    """Connecting, asking for the kernel's name and a ping are no use; running a cell is."""
    before = (await seen(house)).last_activity
    async with browser.ws_connect(PREFIX + "api/kernels/1/channels") as channels:
        await channels.ping()
        for kind in ("kernel_info_request", "history_request"):
            await channels.send_bytes(kernel_message(kind))
            await channels.receive()
        assert (await seen(house)).last_activity == before
        await channels.send_bytes(kernel_message("execute_request"))
        await channels.receive()
        assert (await seen(house)).last_activity != before


async def _fetch(directory: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(f"{directory}/egress.sock")
    try:
        writer.write(b"GET http://pkg.sandbox.internal/ HTTP/1.1\r\nHost: pkg.sandbox.internal\r\n\r\n")
        return await asyncio.wait_for(reader.read(), 15)
    finally:
        await shut(writer)


def _wait_for(path: str, text: str) -> None:
    while not (Path(path).exists() and text in Path(path).read_text()):
        time.sleep(0.1)  # the gateway writes every few seconds


@in_one_loop
async def test_use_survives_a_kill() -> None:
    """After kill -9 and a restart the last use, the bytes and today's egress sum are still known."""
    body = b"x" * (2 << 20)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        writer.write(head + body)
        await shut(writer)

    upstream = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    policy = EgressPolicy(
        rules=(EgressRule(pattern="pkg.sandbox.internal", ports=(80,)),), bytes_per_day=3 << 20
    )
    async with gateway_house(internal={"pkg.sandbox.internal:80": f"127.0.0.1:{port}"}) as house:
        name, directory = await house.open(entry("ada"))
        await house.client.set_egress(name, policy)
        assert (await _fetch(directory)).startswith(b"HTTP/1.1 200")
        before = await seen(house)
        assert before.egress_used_at is not None  # so much egress is use, and told apart from a person's
        assert before.last_activity is None
        path = f"{house.site.run_dir}/gateway/use"
        await asyncio.to_thread(_wait_for, path, name)
        house.end(signal.SIGKILL)
        await house.start()
        after = await seen(house)
        assert (after.egress_used_at, after.bytes_in, after.denials) == (
            before.egress_used_at,
            before.bytes_in,
            before.denials,
        )
        answers = [await _fetch(directory) for _ in range(2)]
        assert b"egress.capped" in answers[1]
    upstream.close()
    await upstream.wait_closed()


def test_a_damaged_memory_is_said_and_replaced(tmp_path: Path) -> None:
    """A damaged file costs what it knew, is named in the log, and is written anew."""
    path = f"{tmp_path}/use"
    Path(path).write_text('{"sandboxes": {"sb-')
    memory = Memory(path)
    assert memory.load() == {}
    use = Use(last_activity=datetime(2026, 1, 2, tzinfo=timezone.utc), bytes_in=3)
    asyncio.run(memory.close(lambda: {"sb-a": use}))
    assert Memory(path).load() == {"sb-a": use}
    assert Path(path).stat().st_mode & 0o777 == 0o600
