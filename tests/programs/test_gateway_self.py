"""Does the API door pass a sandbox's questions about itself to control, and to control only?"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiohttp import web

from jupyter_sandbox_spawner.serving import listening_socket
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house
from tests.programs.test_gateway_api import ask, request

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
SELF = "/services/sandbox/api/self"


class ControlThatRemembers:
    """A small real server on control's socket for the gateway; `held` lets it hold back an answer."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700)
        self.listener = listening_socket(path)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.asked_for_events, self.held = asyncio.Event(), asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self.runner = web.AppRunner(app)

    async def start(self) -> None:
        """Serve."""
        await self.runner.setup()
        await web.SockSite(self.runner, self.listener).start()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response()
        head = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append((request.method, request.raw_path, head, await request.read()))
        if request.query.get("timeout"):
            self.asked_for_events.set()
            await self.held.wait()
        return web.json_response({"code": "x.y"}, status=409, headers={"Set-Cookie": "a=1"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[GatewayHouse]:
    async with gateway_house() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def control_program(house: GatewayHouse) -> AsyncIterator[ControlThatRemembers]:
    running = ControlThatRemembers(house.site.control_socket("gateway"))
    await running.start()
    yield running
    await running.runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(house: GatewayHouse, control_program: ControlThatRemembers) -> tuple[str, str]:
    """The id of a sandbox and its API door."""
    name, directory = await house.open(entry("ada", api_requests_per_second=10_000))
    return name, f"{directory}/api.sock"


@pytest.mark.proves("H02")
@pytest.mark.parametrize(
    ("line", "reaches"),
    [
        (f"GET {SELF}", "/api/self"),
        (f"GET {SELF}/events?after=4", "/api/self/events?after=4"),
        (f"GET {SELF}/egress", "/api/self/egress"),
        (f"GET {SELF}/audit", "/api/self/audit"),
        (f"POST {SELF}/extend", "/api/self/extend"),
        (f"POST {SELF}/keep", "/api/self/keep"),
        (f"POST {SELF}/stop", "/api/self/stop"),
        (f"POST {SELF}/claims", "/api/self/claims"),
    ],
)
async def test_a_question_about_oneself_reaches_control(
    control_program: ControlThatRemembers, sandbox: tuple[str, str], line: str, reaches: str
) -> None:
    """It arrives with the sandbox's own id, whatever id the client sends, and with its token."""
    control_program.seen.clear()
    forged = ("X-Sandbox-Id: sb-" + "b" * 20, "X_Sandbox_Id: x", "Cookie: a=b", "Authorization: token t")
    got = await ask(sandbox[1], request(line, *forged, body=b"{}" if line.startswith("POST") else b""))
    ((method, path, head, body),) = control_program.seen
    assert (method, path, body) == (line.split()[0], reaches, b"{}" if method == "POST" else b"")
    assert (head["x-sandbox-id"], head["authorization"]) == (sandbox[0], "token t")
    assert head.keys() <= {"host", "connection", "content-length", "authorization", "x-sandbox-id"}
    assert got.startswith(b"HTTP/1.1 409 ")
    assert got.endswith(b'{"code": "x.y"}')
    assert b"set-cookie" not in got.lower()


@pytest.mark.proves("H02", "H03")
@pytest.mark.parametrize(
    "line",
    [
        "POST /services/sandbox/api/admissions",
        f"GET {SELF}/../sandboxes",
        f"GET {SELF}/%2e%2e/sandboxes",
        f"GET {SELF}//events",
        f"GET {SELF}/",
        f"GET {SELF}/events?after=1&x=2",
        f"DELETE {SELF}",
        f"GET {SELF}/stop",
        "GET /api/self",
        "GET /services/sandbox/api/gpu",
        "GET /services/sandbox/",
        "HEAD /services/sandbox/api/self",
    ],
)
async def test_nothing_else_reaches_control(
    control_program: ControlThatRemembers, sandbox: tuple[str, str], line: str, control: Control
) -> None:
    """Any other path or method is refused at the door."""
    control_program.seen.clear()
    got = await ask(sandbox[1], request(line))
    assert got.startswith(b"HTTP/1.1 403 Blocked by sandbox"), got
    assert control_program.seen == []
    control("the allowed twin passes", b" 409 " in await ask(sandbox[1], request(f"GET {SELF}")))


async def test_a_question_that_waits_holds_up_nobody(
    control_program: ControlThatRemembers, sandbox: tuple[str, str]
) -> None:
    """While a long poll waits, other connections of the same door are answered."""
    waiting = asyncio.create_task(ask(sandbox[1], request(f"GET {SELF}/events?after=0&timeout=30"), 30))
    await control_program.asked_for_events.wait()
    assert b" 409 " in await ask(sandbox[1], request(f"GET {SELF}"))
    assert not waiting.done()
    control_program.held.set()
    assert b" 409 " in await waiting


async def test_the_tellers_answer_has_an_end(
    control_program: ControlThatRemembers, sandbox: tuple[str, str]
) -> None:
    """To a request in HTTP/1.0 the whole answer comes, and then the connection is closed."""
    claim = f"POST {SELF}/claims HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
    answer = await ask(sandbox[1], claim.encode())
    assert answer.endswith(b'\r\n\r\n{"code": "x.y"}')


async def test_large_bodies_are_refused(
    control_program: ControlThatRemembers, sandbox: tuple[str, str]
) -> None:
    """More than 64 KiB are not taken for control either."""
    control_program.seen.clear()
    got = await ask(sandbox[1], request(f"POST {SELF}/claims", body=b"x" * (65 << 10)))
    assert got.startswith(b"HTTP/1.1 413 ")
    assert control_program.seen == []


@pytest.mark.parametrize("held", [False, True], ids=["no socket", "held socket"])
async def test_control_away_is_503(held: bool) -> None:
    """While control is away, also behind a socket that its supervisor holds, the answer is 503 within 3 s."""
    async with gateway_house() as house:
        path = house.site.control_socket("gateway")
        os.makedirs(os.path.dirname(path))
        listener = listening_socket(path) if held else None
        _, directory = await house.open(entry("ada"))
        begun = time.monotonic()
        got = await ask(f"{directory}/api.sock", request(f"POST {SELF}/stop"))
        assert time.monotonic() - begun < 3
        assert got.startswith(b"HTTP/1.1 503 Control does not answer")
        assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] == "api.control_away"
        if listener is not None:
            with listener.accept()[0] as late:
                arrived = late.recv(65536)
            assert arrived.startswith(b"HEAD / ")
            assert b"stop" not in arrived
            with pytest.raises(BlockingIOError):
                listener.accept()
            listener.close()
