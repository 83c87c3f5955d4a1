"""What do browsers see of a server that is stopped? The reason, the end of what runs, a farewell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.gateway import leaving
from jupyter_sandbox_spawner.gateway.leaving import Leaving, close_frame, sentence_of
from jupyter_sandbox_spawner.rules.frames import FrameReader
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house
from tests.programs.notebook_stand_in import BEGUN, Server, notebook
from tests.programs.streams import raw_request, shut
from tests.support.waiting import until

Control = Callable[[str, bool], None]
WHO = b"GET /user/ada/who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SLOW = WHO.replace(b"who", b"slow")


@pytest_asyncio.fixture
async def house() -> AsyncIterator[GatewayHouse]:
    """A running gateway."""
    async with gateway_house() as running:
        yield running


@pytest_asyncio.fixture
async def ada(house: GatewayHouse) -> AsyncIterator[tuple[str, Server]]:
    """Ada's sandbox and the server in it."""
    name, directory = await house.open(entry("ada"))
    async with notebook("ada", directory) as server:
        yield name, server


async def test_new_requests_read_the_reason(
    house: GatewayHouse, ada: tuple[str, Server], control: Control
) -> None:
    """A drained sandbox answers new requests 503 front.draining with the first reason, as plain text."""
    name, _ = ada
    control("before it passes", b'"server"' in await raw_request(house.front_port, WHO))
    await house.client.drain(name, "Its time <b>was</b> up.\r\nX-Evil: 1")
    await house.client.drain(name, "It was stopped at the hub.")
    got = await raw_request(house.front_port, WHO)
    assert got.startswith(b"HTTP/1.1 503 This server is being stopped: Its time <b>was</b> up. X-Evil: 1\r\n")
    assert b"X-Sandbox-Deny: front.draining" in got
    assert b"text/plain" in got
    assert b"nosniff" in got
    assert b"\r\nX-Evil" not in got


async def test_what_runs_may_finish(house: GatewayHouse, ada: tuple[str, Server]) -> None:
    """A request that runs when the drain begins is answered whole, and the drain waits for that."""
    name, _ = ada
    reader, writer = await asyncio.open_connection("127.0.0.1", house.front_port)
    writer.write(WHO.replace(b"GET", b"PUT").replace(b"who", b"digest")[:-2] + b"Content-Length: 4\r\n\r\nab")
    await writer.drain()
    while not (await house.client.inventory())[0].bytes_in:
        continue
    draining = asyncio.create_task(house.client.drain(name, "", 20))
    while b"front.draining" not in await raw_request(house.front_port, WHO):
        assert not draining.done()
    assert not draining.done()
    writer.write(b"cd")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200")
    assert await draining == 0
    await shut(writer)


async def test_nobody_waits_longer_than_allowed(house: GatewayHouse, ada: tuple[str, Server]) -> None:
    """A request that does not end holds no drain up: what runs on is counted."""
    name, server = ada
    server.app[BEGUN].clear()
    running = asyncio.create_task(raw_request(house.front_port, SLOW))
    await asyncio.wait_for(server.app[BEGUN].wait(), 5)
    assert await asyncio.wait_for(house.client.drain(name, "", 0.05), 5) == 1
    running.cancel()


async def test_a_websocket_is_closed_with_code_and_reason(
    house: GatewayHouse, ada: tuple[str, Server], control: Control
) -> None:
    """After the drain a WebSocket ends with code 1001 and the reason; without waiting it goes on."""
    name, _ = ada
    base = f"http://127.0.0.1:{house.front_port}"
    async with aiohttp.ClientSession() as browser, browser.ws_connect(f"{base}/user/ada/echo") as socket:
        await socket.send_str("hello")
        assert (await socket.receive()).data == "hello"
        await house.client.drain(name, "Its time was up.")
        await socket.send_str("still here")
        control("it goes on", (await socket.receive()).data == "still here")
        assert await house.client.drain(name, "", 1) == 0
        end = await asyncio.wait_for(socket.receive(), 5)
    assert (end.type, end.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    assert end.extra == "This server is being stopped: Its time was up"


async def test_a_stop_that_never_came_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub killed after its drain leaves no server out of reach; what was decided stays."""
    monkeypatch.setattr(leaving, "_FORGOTTEN", 0)
    killed, decided, later = Leaving(), Leaving(), Leaving()
    await decided.drain("Its time was up.", 0)
    await later.drain("It was stopped at the hub.", 0.01)
    await later.drain("Its time was up.", 0)
    await decided.drain("It was stopped at the hub.", 0.01)
    await killed.drain("It was stopped at the hub.", 0.01)
    assert killed.why
    await until(lambda: killed.why is None)
    assert decided.why == "This server is being stopped: Its time was up"
    assert later.why == "This server is being stopped: It was stopped at the hub"
    await killed.drain("Its time was up.", 0)
    assert killed.why == "This server is being stopped: Its time was up"


def test_a_reason_fits_into_a_close_frame() -> None:
    """A long reason is cut between characters, at 123 bytes."""
    frame = close_frame(sentence_of("\N{SNOWMAN}" * 200))
    assert len(frame) <= 2 + 125
    frame[4:].decode()


def test_no_frame_is_put_within_another() -> None:
    """Where frames end is known whatever the chunks are; a flood of tiny ones is given up."""
    reader = FrameReader()
    message = bytes((0x82, 126)) + (1000).to_bytes(2, "big") + bytes(1000)
    for piece, between in ((message[:1], False), (message[1:500], False), (message[500:], True)):
        reader.skip(piece)
        assert reader.between is between
    reader.skip(message + message)
    assert reader.between
    reader.skip(bytes((0x89, 0)) * 10_000)
    assert not reader.between
