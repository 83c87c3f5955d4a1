"""Does the API door pass the three calls a server needs to a hub, answer the fourth, and nothing else?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiohttp import web

from tests.programs.gateway_house import GatewayHouse, entry, free_port, gateway_house
from tests.programs.streams import connected

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
SEEN: web.AppKey[list[tuple[str, str, dict[str, str], bytes]]] = web.AppKey("seen", list)


async def _answer(request: web.Request) -> web.Response:
    head = {name.lower(): value for name, value in request.headers.items()}
    request.app[SEEN].append((request.method, request.raw_path, head, await request.read()))
    headers = {"X-JupyterHub-Version": "6.1.1", "Set-Cookie": "hub=1", "X-Secret": "1"}
    if request.path.endswith("/oauth2/token"):
        return web.Response(status=302, headers={**headers, "Location": "/hub/admin"})
    if request.headers.get("User-Agent") == "large":
        return web.Response(body=b"x" * (5 << 20))
    return web.json_response({"name": "ada"}, headers=headers)


class Hub:
    """A small real hub: it answers every path and remembers what reached it."""

    def __init__(self) -> None:
        self.app = web.Application()
        self.app[SEEN] = []
        self.app.router.add_route("*", "/{tail:.*}", _answer)
        self.runner = web.AppRunner(self.app)
        self.port = free_port()

    @property
    def seen(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        return self.app[SEEN]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub() -> AsyncIterator[Hub]:
    running = Hub()
    await running.runner.setup()
    await web.TCPSite(running.runner, "127.0.0.1", running.port).start()
    yield running
    await running.runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(hub: Hub) -> AsyncIterator[GatewayHouse]:
    async with gateway_house(hub_port=hub.port) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(house: GatewayHouse) -> str:
    _, directory = await house.open(entry("ada", api_requests_per_second=10_000))
    return f"{directory}/api.sock"


async def ask(door: str, data: bytes, seconds: float = 10) -> bytes:
    """Send bytes through a door and read until it closes."""
    async with connected(door) as (reader, writer):
        writer.write(data)
        return await asyncio.wait_for(reader.read(), seconds)


async def ask_a_closing_door(door: str, data: bytes) -> bytes:
    """Like `ask`, also when the door has answered and closed before all was sent, as curl would see it."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        await loop.sock_connect(client, door)
        with contextlib.suppress(BrokenPipeError):
            await loop.sock_sendall(client, data)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := await asyncio.wait_for(loop.sock_recv(client, 4096), 10):
                got += chunk
        return got


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """One request that closes its connection."""
    lines = [f"{line} HTTP/1.1", "Host: 127.0.0.1:8081", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.proves("H02")
@pytest.mark.parametrize(
    ("line", "reaches"),
    [
        ("GET /hub/api", "/hub/api"),
        ("GET /hub/api/user", "/hub/api/user"),
        ("POST /hub/api/oauth2/token", "/hub/api/oauth2/token"),
    ],
)
async def test_the_three_calls_pass(hub: Hub, door: str, line: str, reaches: str) -> None:
    """The three calls of a single-user server reach the hub with their token and nothing else of the head."""
    hub.seen.clear()
    headers = ("Authorization: token t", "Cookie: a=b", "X-Forwarded-For: 1.2.3.4", "X-Sandbox-Id: x")
    got = await ask(door, request(line, *headers, "Content-Type: application/json", body=b"{}"))
    ((method, path, head, body),) = hub.seen
    assert (method, path, body) == (line.split()[0], reaches, b"{}")
    assert head["authorization"] == "token t"
    assert head.keys() <= {
        "authorization",
        "content-type",
        "content-length",
        "host",
        "connection",
    }
    assert b"x-jupyterhub-version: 6.1.1" in got.lower()
    assert b"set-cookie" not in got.lower()
    assert b"x-secret" not in got.lower()


@pytest.mark.proves("H03")
async def test_activity_never_reaches_the_hub(hub: Hub, door: str, control: Control) -> None:
    """What a server posts of its activity is answered as the hub would and goes nowhere: of now, of the
    future, of other servers, a hundred times; and the connection stays open."""
    hub.seen.clear()

    def post(at: str, server: str = "") -> bytes:
        body = json.dumps({"last_activity": at, "servers": {server: {"last_activity": at}}}).encode()
        head = f"POST /hub/api/users/ada/activity HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    ask_hub = request("GET /hub/api/user")
    flood = post("2026-11-01T00:00:00Z") * 100
    bodies = post("2099-01-01T00:00:00Z") + post("2026-11-01T00:00:00Z", "of-bob") + flood
    got = await ask(door, bodies + ask_hub)
    statuses = [int(part.split()[0]) for part in got.split(b"HTTP/1.1 ")[1:]]
    assert statuses[:-1] == [400, 400, *[200] * 100]
    assert b"more than an hour in the future: 2099-01-01T00:00:00Z" in got
    control("another call reaches the hub", [path for _, path, _, _ in hub.seen] == ["/hub/api/user"])


@pytest.mark.proves("H02", "H03")
@pytest.mark.parametrize(
    "line",
    [
        "GET /hub/login",
        "POST /hub/login",
        "GET /hub/admin",
        "GET /hub/metrics",
        "GET /hub/api/users",
        "GET /hub/api/users/bob",
        "POST /hub/api/users/bob/activity",
        "POST /hub/api/users/ada%2f..%2fbob/activity",
        "POST /hub/api/users/ada/../bob/activity",
        "POST /hub/api/users/ada/activity/../../bob/activity",
        "POST /hub/api/users/%61da/activity",
        "POST /hub/api/users/ADA/activity",
        "POST /hub/api/users/ada/activity/",
        "POST /hub/api/users/ada/tokens",
        "GET /hub/api/../login",
        "GET /hub/api/%2e%2e/login",
        "GET /hub/api//user",
        "GET //hub/api/user",
        "GET /hub/api/user;x=1",
        "GET /hub/api/user?x=1",
        "GET /hub/api/user#x",
        "GET /hub/api/user/",
        "GET /hub/api/user\\..",
        "GET http://127.0.0.1/hub/api/user",
        "GET http://evil.test/hub/api/user",
        "CONNECT 127.0.0.1:8001",
        "OPTIONS *",
        "DELETE /hub/api/users/ada/server",
        "PUT /hub/api/user",
        "HEAD /hub/api/user",
        "GET /hub/api/users/ada/activity",
        "GET /api/routes",
        "GET /",
    ],
)
async def test_everything_else_is_403(hub: Hub, door: str, line: str, control: Control) -> None:
    """Any other call, or another spelling of an allowed one, is refused with a reason, not asked."""
    hub.seen.clear()
    got = await ask(door, request(line))
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Blocked by sandbox"), got
    assert b"X-Sandbox-Deny: api.not_allowed" in head
    if not line.startswith("HEAD"):
        assert json.loads(body)["code"] == "api.not_allowed"
    assert hub.seen == []
    control("the allowed twin passes", b" 200 " in await ask(door, request("GET /hub/api/user")))


async def test_a_refusal_is_an_event(house: GatewayHouse, door: str) -> None:
    """A refused call is in the events with user, server and the call."""
    await ask(door, request("GET /hub/spawn-of-ada"))
    found = await house.client.events(0, 5)
    told = [event for event in found if "spawn-of-ada" in str(event.detail.get("host"))]
    assert [(event.kind, event.user) for event in told] == [("api.denied", "ada")]


async def test_a_kept_alive_connection_is_checked_each_time(hub: Hub, door: str) -> None:
    """The second request of a connection is decided like the first, and pipelining does not help."""
    hub.seen.clear()
    line = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
    got = await ask(
        door, line % b"/hub/api" + line % b"/hub/api/user" + line % b"/hub/admin" + line % b"/hub/api"
    )
    assert [int(part.split()[0]) for part in got.split(b"HTTP/1.1 ")[1:]] == [200, 200, 403]
    assert [path for _, path, _, _ in hub.seen] == ["/hub/api", "/hub/api/user"]


async def test_two_lengths_are_refused(hub: Hub, door: str) -> None:
    """A request with Content-Length and Transfer-Encoding is 400 and does not reach the hub."""
    hub.seen.clear()
    got = await ask(
        door, request("POST /hub/api/oauth2/token", "Content-Length: 3", "Transfer-Encoding: chunked")
    )
    assert got.startswith(b"HTTP/1.1 400 ")
    assert hub.seen == []


async def test_a_redirect_is_not_followed(hub: Hub, door: str) -> None:
    """The hub's redirect comes back as it is, without where to; the gateway does not follow it."""
    hub.seen.clear()
    got = await ask(door, request("POST /hub/api/oauth2/token", body=b"x=1"))
    assert got.startswith(b"HTTP/1.1 302 ")
    assert len(hub.seen) == 1


async def test_large_bodies_are_refused(hub: Hub, door: str, control: Control) -> None:
    """A request body above 64 KiB is 413, an answer above 4 MiB is 502."""
    line = "POST /hub/api/users/ada/activity"
    assert (await ask(door, request(line, body=b"x" * 70_000))).startswith(b"HTTP/1.1 413 ")
    assert (await ask(door, request("GET /hub/api/user", "User-Agent: large"))).startswith(b"HTTP/1.1 502 ")
    small = b'{"last_activity": "2026-11-01T00:00:00Z"}'
    control("a small body passes", (await ask(door, request(line, body=small))).startswith(b"HTTP/1.1 200 "))


async def test_slow_bodies_do_not_hold_others(door: str, control: Control) -> None:
    """Requests that never finish leave the door answering others."""
    begun = b"POST /hub/api/users/ada/activity HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    async with contextlib.AsyncExitStack() as slow:
        for _ in range(20):
            _, writer = await slow.enter_async_context(connected(door))
            writer.write(begun)
        got = await ask(door, request("GET /hub/api/user"), 5)
        control("another request passes", got.startswith(b"HTTP/1.1 200 "))


async def test_connections_over_the_cap_are_told(house: GatewayHouse, control: Control) -> None:
    """A connection over the cap reads a 503 that says so; it passes again when one ends."""
    name, directory = await house.open(entry("cap", api_connections=3))
    door = f"{directory}/api.sock"
    async with contextlib.AsyncExitStack() as idle:
        for _ in range(3):
            await idle.enter_async_context(connected(door))
        got = await ask_a_closing_door(door, request("GET /hub/api/user"))
        assert got.startswith(b"HTTP/1.1 503 Blocked by sandbox: more than 3 connections")
        assert b"X-Sandbox-Deny: door.capped" in got
    await house.carries(name, 0)
    control("below the cap it passes", b" 200 " in await ask(door, request("GET /hub/api/user")))


async def test_a_flood_of_calls_is_429(house: GatewayHouse) -> None:
    """Calls above the rate of the sandbox are answered 429 with a reason."""
    _, directory = await house.open(entry("fast", api_requests_per_second=5))
    got = [await ask(f"{directory}/api.sock", request("GET /hub/api/user")) for _ in range(12)]
    assert any(b"X-Sandbox-Deny: api.too_many" in answer for answer in got)
    assert got[0].startswith(b"HTTP/1.1 200 ")


async def test_a_hub_that_is_away_is_503() -> None:
    """While the hub is away a call is answered 503 with a sentence."""
    async with gateway_house(hub_port=free_port()) as house:
        _, directory = await house.open(entry("ada"))
        got = await ask(f"{directory}/api.sock", request("GET /hub/api"))
    assert got.startswith(b"HTTP/1.1 503 The hub does not answer")
    assert b"X-Sandbox-Deny: api.hub_away" in got
