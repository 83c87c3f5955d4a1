"""Does each browser request reach the right server, whole, and does only what it may send come back?"""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from jupyter_sandbox_spawner.gateway.ingress import HoldTimes, IngressPool
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house
from tests.programs.notebook_stand_in import BEGUN, BLOCK, LEFT, Server, notebook
from tests.programs.streams import raw_request, shut

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


@pytest_asyncio.fixture(loop_scope="module")
async def bob(house: GatewayHouse) -> AsyncIterator[Server]:
    async for server in _served(house, "bob"):
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


async def test_an_unknown_prefix_is_404(
    house: GatewayHouse, ada: Server, browser: aiohttp.ClientSession, control: Control
) -> None:
    """A path below no open sandbox's prefix is answered 404 with the code front.unknown."""
    for path in ("/", "/user/", "/user/adam/who", "/hub/api", "/user/ad"):
        async with browser.get(path) as answer:
            assert answer.status == 404, path
            assert answer.headers["X-Sandbox-Deny"] == "front.unknown"
    async with browser.get("/user/ada/who") as answer:
        control("a known prefix answers", answer.status == 200)


async def test_requests_of_one_connection_are_routed_each(
    ada: Server, bob: Server, browser: aiohttp.ClientSession
) -> None:
    """Requests for two users on one kept-alive connection reach two servers."""
    seen = []
    for name in ("ada", "bob", "ada", "bob", "bob", "ada"):
        async with browser.get(URL(f"/user/{name}/who?x=%2e%2e", encoded=True)) as answer:
            found = await answer.json()
            assert found["path"] == f"/user/{name}/who?x=%2e%2e"
            seen.append(found["server"])
    assert seen == ["ada", "bob", "ada", "bob", "bob", "ada"]


async def test_pipelined_requests_are_routed_each(house: GatewayHouse, ada: Server, bob: Server) -> None:
    """Two pipelined requests for two users reach two servers, in order."""
    ask = b"GET /user/%s/who HTTP/1.1\r\nHost: x\r\n%s\r\n"
    got = await raw_request(house.front_port, ask % (b"ada", b"") + ask % (b"bob", b"Connection: close\r\n"))
    assert got.index(b'"server": "ada"') < got.index(b'"server": "bob"')


@pytest.mark.proves("T1")
async def test_the_front_url_has_no_path(house: GatewayHouse) -> None:
    """The URL the spawner returns is scheme, host and port, so the hub can add nothing to it."""
    found = await house.client.open(f"sb-{'a' * 20}", entry("tim"))
    assert found.front_url == f"http://127.0.0.1:{house.front_port}"


async def test_the_request_head_is_cleaned(ada: Server, browser: aiohttp.ClientSession) -> None:
    """Hop-by-hop, Proxy-* and X-Sandbox-* headers of a browser do not reach the server; its own do."""
    sent = {
        "Proxy-Authorization": "Basic eDp4",
        "X-Sandbox-Id": "sb-other",
        "X_Sandbox_User": "bob",
        "Connection": "keep-alive, X-Private",
        "X-Private": "1",
        "Cookie": "a=b",
        "X-Forwarded-For": "10.0.0.1",
    }
    async with browser.get("/user/ada/who", headers=sent) as answer:
        got = (await answer.json())["headers"]
    assert got.keys().isdisjoint({"proxy-authorization", "x-sandbox-id", "x_sandbox_user", "x-private"})
    assert (got["cookie"], got["x-forwarded-for"], got["connection"]) == ("a=b", "10.0.0.1", "close")


async def test_the_answer_head_is_cleaned(ada: Server, browser: aiohttp.ClientSession) -> None:
    """A server cannot widen service workers, clear site data, set foreign cookies, report or pose as us."""
    async with browser.get("/user/ada/headers") as answer:
        got = answer.headers
    assert got.getall("Set-Cookie") == ["a=1; Path=/user/ada/", "e=5; HttpOnly; Path=/user/ada/"]
    assert {"Service-Worker-Allowed", "Clear-Site-Data", "X-Sandbox-Deny"}.isdisjoint(got)
    theirs, ours = got.getall("Content-Security-Policy")
    assert theirs == "frame-ancestors 'self'"
    assert "default-src 'self'" in ours
    assert got["X-Content-Type-Options"] == "nosniff"


async def test_a_websocket_passes(ada: Server, browser: aiohttp.ClientSession) -> None:
    """A WebSocket carries text, and 4 MiB of binary, both ways."""
    async with browser.ws_connect("/user/ada/echo", max_msg_size=8 << 20) as socket:
        await socket.send_str("hello")
        assert (await socket.receive()).data == "hello"
        await socket.send_bytes(BLOCK * 4)
        assert (await socket.receive()).data == BLOCK * 4


async def test_bodies_pass_whole(house: GatewayHouse, ada: Server, browser: aiohttp.ClientSession) -> None:
    """100 MB up and 100 MB down arrive with the same checksum and are counted."""

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield BLOCK

    whole = hashlib.sha256(BLOCK * 100).hexdigest()
    async with browser.put("/user/ada/digest", data=blocks()) as answer:
        assert await answer.text() == whole
    async with browser.put("/user/ada/digest", data=io.BytesIO(BLOCK * 100)) as answer:
        assert await answer.text() == whole
    async with browser.get("/user/ada/bulk") as answer:
        digest = hashlib.sha256()
        async for chunk in answer.content.iter_chunked(1 << 18):
            digest.update(chunk)
        assert digest.hexdigest() == whole
    (seen,) = [item for item in await house.client.inventory() if item.user == "ada"]
    assert seen.bytes_in >= 200 << 20
    assert seen.bytes_out >= 100 << 20
    assert seen.last_activity is not None


async def test_200_requests_at_once_all_succeed(house: GatewayHouse, ada: Server) -> None:
    """200 requests at once over 4 idle connections all succeed, first come first served."""

    async def ask() -> int:
        got = await raw_request(
            house.front_port, b"GET /user/ada/who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 30
        )
        return int(got.split()[1])

    assert await asyncio.gather(*(ask() for _ in range(200))) == [200] * 200


async def test_a_connection_that_came_just_before_is_taken() -> None:
    """A request that begins to wait takes an idle connection that came in the same turn of the loop."""
    pool = IngressPool(ready=False, hold=HoldTimes(), on_ready=lambda: None)
    outside, inside = socket.socketpair()
    with outside:
        inside.setblocking(False)
        assert pool.take() is None
        serving = asyncio.create_task(pool.handle(inside))
        await pool.first.wait()
        stream = await asyncio.wait_for(pool.acquire(), 1)
        assert stream is not None
        stream.abort()
        await serving


async def test_a_request_waits_for_the_first_ready(
    house: GatewayHouse, browser: aiohttp.ClientSession
) -> None:
    """A request that comes before the server is held and answered once the server is there."""
    name, directory = await house.open(entry("kim"))
    held = asyncio.create_task(browser.get("/user/kim/who"))
    assert await house.client.ready(name, 0.3) is False
    assert not held.done()
    async with notebook("kim", directory):
        assert await house.client.ready(name, 5) is True
        async with await held as answer:
            assert answer.status == 200


async def test_a_dead_sandbox_is_503_in_about_a_second(
    ada: Server, browser: aiohttp.ClientSession, control: Control
) -> None:
    """Once a ready sandbox has gone, a request is answered 503 with a sentence within two seconds."""
    async with browser.get("/user/ada/who") as answer:
        control("it answered while it lived", answer.status == 200)
    await ada.relay.__aexit__()
    begun = time.monotonic()
    async with browser.get("/user/ada/who") as answer:
        assert (answer.status, answer.headers["X-Sandbox-Deny"]) == (503, "front.gone")
        assert "does not answer" in await answer.text()
    assert 0.5 < time.monotonic() - begun < 2


async def test_a_browser_that_leaves_frees_the_server(house: GatewayHouse, ada: Server) -> None:
    """When a browser leaves a slow request, the server inside sees its connection end."""
    _, writer = await asyncio.open_connection("127.0.0.1", house.front_port)
    try:
        writer.write(b"GET /user/ada/slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(ada.app[BEGUN].wait(), 5)
    finally:
        await shut(writer)
    await asyncio.wait_for(ada.app[LEFT].wait(), 5)


async def test_requests_over_the_cap_are_refused(house: GatewayHouse, control: Control) -> None:
    """More requests to one server at once than its cap are answered 503 front.capped."""
    _, directory = await house.open(entry("liz", front_requests=2))
    ask = b"GET /user/liz/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with notebook("liz", directory) as server:
        slow = []
        for _ in range(2):
            server.app[BEGUN].clear()
            slow.append(asyncio.create_task(raw_request(house.front_port, ask % b"slow")))
            await asyncio.wait_for(server.app[BEGUN].wait(), 5)
        assert b"X-Sandbox-Deny: front.capped" in await raw_request(house.front_port, ask % b"who")
        await asyncio.gather(*slow)
        control("below the cap it passes", b'"server"' in await raw_request(house.front_port, ask % b"who"))
