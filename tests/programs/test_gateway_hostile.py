"""Does the front survive servers and clients that do not keep to HTTP, and tell people what happened?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import pytest_asyncio

from tests.programs.gateway_house import GatewayHouse, Relay, entry, gateway_house
from tests.programs.notebook_stand_in import Server, notebook
from tests.programs.streams import connected, raw_request, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[GatewayHouse]:
    async with gateway_house("--start-hold", "10", "--answer-timeout", "5") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def ada(house: GatewayHouse) -> AsyncIterator[Server]:
    async for server in _served(house, "ada"):
        yield server


async def _served(house: GatewayHouse, name: str) -> AsyncIterator[Server]:
    sandbox, directory = await house.open(entry(name))
    async with notebook(name, directory) as server:
        yield server
    await house.client.close_sandbox(sandbox)


@pytest_asyncio.fixture(loop_scope="module")
async def browser(house: GatewayHouse) -> AsyncIterator[aiohttp.ClientSession]:
    base = f"http://127.0.0.1:{house.front_port}"
    connector = aiohttp.TCPConnector(limit=1)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(base, connector=connector, cookie_jar=jar) as session:
        yield session


@pytest.mark.proves("H07")
@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (b"\x00\xff garbage\r\n\r\n", 502, b"front.bad_answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            502,
            b"front.bad_answer",
        ),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", 502, b"front.bad_answer"),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 40, 502, b"front.bad_answer"),
        (b"HTTP/1.1 200 " + b"A" * 100_000, 502, b"front.bad_answer"),
        (b"", 502, b"front.connection_lost"),
        (None, 504, b"front.no_answer"),
    ],
)
async def test_a_bad_server_gets_an_explained_error(
    house: GatewayHouse, ada: Server, answer: bytes | None, status: int, code: bytes
) -> None:
    """A server that answers garbage, or never, gives 502 or 504 with a sentence; others are not touched."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await done.wait()
        else:
            writer.write(answer)

    _, directory = await house.open(entry("mal"))
    async with serving(serve) as port, Relay(directory, port):
        ask = b"GET /user/mal/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        got = await raw_request(house.front_port, ask)
        if got.startswith(b"HTTP/1.1 103"):
            got = got[got.rindex(b"HTTP/1.1") :]
        assert got.startswith(b"HTTP/1.1 %d " % status), got[:200]
        assert b"X-Sandbox-Deny: " + code in got
        done.set()
    ask = b"GET /user/ada/who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await raw_request(house.front_port, ask)).startswith(b"HTTP/1.1 200 ")


async def test_an_answer_cut_short_is_not_completed(house: GatewayHouse) -> None:
    """An answer that breaks off ends the browser's connection instead of looking whole."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    _, directory = await house.open(entry("mal"))
    async with serving(serve) as port, Relay(directory, port):
        got = await raw_request(house.front_port, b"GET /user/mal/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.endswith(b"5\r\nhello\r\n")


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /user/ada/who HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /user/ada/who HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /user/ada/who HTTP/1.1\r\n\r\n",
        b"GET /user/ada/who HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /user/ada/who\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_an_ambiguous_request_is_400(
    house: GatewayHouse, ada: Server, request_head: bytes, control: Control
) -> None:
    """A request whose length, host or form could be read in two ways is answered 400 and goes nowhere."""
    got = await raw_request(house.front_port, request_head + b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 400 "), got[:100]
    assert b"ada" not in got
    plain = b"GET /user/ada/who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    control(
        "the plain request passes", (await raw_request(house.front_port, plain)).startswith(b"HTTP/1.1 200")
    )


async def test_idle_connections_that_speak_are_dropped(
    house: GatewayHouse, browser: aiohttp.ClientSession
) -> None:
    """Bytes on an idle ingress connection close it, so no answer can be planted before its question."""
    _, directory = await house.open(entry("eve"))
    async with connected(f"{directory}/ingress.sock") as (reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nforge")
        assert await asyncio.wait_for(reader.read(), 5) == b""
    async with notebook("eve", directory), browser.get("/user/eve/who") as answer:
        assert (await answer.json())["server"] == "eve"
