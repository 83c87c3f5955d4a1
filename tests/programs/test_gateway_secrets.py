"""Does the API door pass questions for secrets to the broker, by exact names, and say when it is away?"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.serving import listening_socket
from tests.programs.gateway_house import GatewayHouse, entry, gateway_house
from tests.programs.test_gateway_api import ask, request
from tests.programs.test_gateway_self import ControlThatRemembers

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
SECRETS = "/services/sandbox/api/secrets"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[GatewayHouse]:
    async with gateway_house() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker(house: GatewayHouse) -> AsyncIterator[ControlThatRemembers]:
    """A small real server where the broker listens."""
    running = ControlThatRemembers(house.site.broker_socket("gateway"))
    await running.start()
    yield running
    await running.runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(house: GatewayHouse, broker: ControlThatRemembers) -> tuple[str, str]:
    """The id of a sandbox and its API door."""
    name, directory = await house.open(entry("ada", api_requests_per_second=10_000))
    return name, f"{directory}/api.sock"


@pytest.mark.proves("H02")
@pytest.mark.parametrize(
    ("line", "reaches"),
    [
        (f"GET {SECRETS}", "/api/secrets"),
        (f"POST {SECRETS}/a/read", "/api/secrets/a/read"),
        (f"POST {SECRETS}/users/ada/git-token/read", "/api/secrets/users/ada/git-token/read"),
        (f"POST {SECRETS}/read/read/read", "/api/secrets/read/read/read"),
        (f"POST {SECRETS}/a/renew", "/api/secrets/a/renew"),
        (f"POST {SECRETS}/a/revoke", "/api/secrets/a/revoke"),
        (f"POST {SECRETS}/a/alarm", "/api/secrets/a/alarm"),
    ],
)
async def test_a_question_for_secrets_reaches_the_broker(
    broker: ControlThatRemembers, sandbox: tuple[str, str], line: str, reaches: str
) -> None:
    """It arrives with the sandbox's own id, whatever id the client sends, and with its token."""
    broker.seen.clear()
    forged = ("X-Sandbox-Id: sb-" + "b" * 20, "X_Sandbox_Id: x", "Cookie: a=b", "Authorization: token t")
    got = await ask(sandbox[1], request(line, *forged))
    ((method, path, head, _),) = broker.seen
    assert (method, path) == (line.split()[0], reaches)
    assert (head["x-sandbox-id"], head["authorization"]) == (sandbox[0], "token t")
    assert head.keys() <= {"host", "connection", "content-length", "authorization", "x-sandbox-id"}
    assert got.startswith(b"HTTP/1.1 409 ")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_request_for_the_proxy_reaches_the_broker_as_it_is(
    broker: ControlThatRemembers, sandbox: tuple[str, str], method: str
) -> None:
    """Path, query and body arrive byte for byte, with the sandbox's id; no cookie passes either way."""
    broker.seen.clear()
    forged = ("X-Sandbox-Id: sb-" + "b" * 20, "Cookie: a=b", "Authorization: token t", "X-Custom: 1")
    path = "/a/b/proxy/x/read?y=%2F&z=/proxy/"
    got = await ask(sandbox[1], request(f"{method} {SECRETS}{path}", *forged, body=b"payload"))
    ((verb, reached, head, body),) = broker.seen
    assert (verb, reached, body) == (method, f"/api/secrets{path}", b"payload")
    assert (head["x-sandbox-id"], head["authorization"], head["x-custom"]) == (sandbox[0], "token t", "1")
    assert "cookie" not in head
    assert got.startswith(b"HTTP/1.1 409 ")
    assert b"set-cookie" not in got.lower()


@pytest.mark.proves("H02", "H03", "S03")
@pytest.mark.parametrize(
    "line",
    [
        f"GET {SECRETS}/a/read",
        f"GET {SECRETS}/a/revoke",
        f"POST {SECRETS}",
        f"PUT {SECRETS}/a",
        f"DELETE {SECRETS}/a",
        f"HEAD {SECRETS}",
        f"POST {SECRETS}/a",
        f"TRACE {SECRETS}/a/proxy/x",
        f"GET {SECRETS}/a/proxy",
        f"GET {SECRETS}/A/proxy/x",
        f"GET {SECRETS}/a/proxy/../../read",
        f"POST {SECRETS}/a/proxy/%2e%2e/read",
        f"POST {SECRETS}/../self/stop/read",
        f"POST {SECRETS}/a/../b/read",
        f"POST {SECRETS}/%2e%2e/b/read",
        f"POST {SECRETS}/a%2fb/read",
        f"POST {SECRETS}/a//b/read",
        f"POST {SECRETS}/a%00/read",
        f"POST {SECRETS}/A/read",
        f"POST {SECRETS}/{{name}}/read",
        f"POST {SECRETS}/a/read?x=1",
        f"POST {SECRETS}/a/read#x",
        f"POST {SECRETS}/{'a' * 201}/read",
        "POST /services/sandbox/api//secrets/a/read",
        "POST /api/secrets/a/read",
        f"POST http://127.0.0.1{SECRETS}/a/read",
    ],
)
async def test_nothing_else_reaches_the_broker(
    broker: ControlThatRemembers, sandbox: tuple[str, str], line: str, control: Control
) -> None:
    """Any other verb, path or spelling is refused at the door."""
    broker.seen.clear()
    got = await ask(sandbox[1], request(line))
    assert got.startswith((b"HTTP/1.1 403 Blocked by sandbox", b"HTTP/1.1 400 ")), got
    assert broker.seen == []
    control("the allowed twin passes", b" 409 " in await ask(sandbox[1], request(f"POST {SECRETS}/a/read")))


@pytest.mark.parametrize("spelling", [b"a\xd0\xb0", b"a\xef\xbc\x8fb", b"a\\b", b"a b", b"\xff"])
async def test_look_alikes_do_not_reach_the_broker(
    broker: ControlThatRemembers, sandbox: tuple[str, str], spelling: bytes, control: Control
) -> None:
    """Bytes of other alphabets, backslashes and blanks are refused, as they are no part of a name."""
    broker.seen.clear()
    head = f"POST {SECRETS}/".encode() + spelling + b"/read HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    got = await ask(sandbox[1], head)
    assert got.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 ")), got
    assert broker.seen == []
    control("the allowed twin passes", b" 409 " in await ask(sandbox[1], request(f"GET {SECRETS}")))


@pytest.mark.parametrize("held", [False, True], ids=["no socket", "held socket"])
async def test_a_broker_that_is_away_is_503(held: bool) -> None:
    """A sentence and a code within 3 s, also behind a socket of the supervisor's; no read comes late."""
    async with gateway_house() as house:
        path = house.site.broker_socket("gateway")
        os.makedirs(os.path.dirname(path))
        listener = listening_socket(path) if held else None
        _, directory = await house.open(entry("ada"))
        begun = time.monotonic()
        got = await ask(f"{directory}/api.sock", request(f"POST {SECRETS}/a/read"))
        assert time.monotonic() - begun < 3
        assert got.startswith(b"HTTP/1.1 503 The broker of secrets does not answer")
        assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] == "api.broker_away"
        if listener is not None:
            with listener.accept()[0] as late:
                assert late.recv(65536).startswith(b"HEAD / ")
            with pytest.raises(BlockingIOError):
                listener.accept()
            listener.close()
