"""Who gets through the wires between programs on different machines, and what do callers see of them?"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from aiohttp import web

from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.errors import AnswerError, UnreachableError
from jupyter_sandbox_spawner.serving import application, listening_socket, private_directory
from tests.programs.gateway_house import entry
from tests.programs.wires_street import HOSTS, Street, street, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")
Control = Callable[[str, bool], None]
HEAD = b"CONNECT launcher.sandbox:443 HTTP/1.1\r\nHost: launcher.sandbox\r\n\r\n"
ASKING = HEAD + b"GET /running HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
IDS = ["sb-aaaaaaaaaaaaaaaaaaaa"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def road() -> AsyncIterator[Street]:
    """The hub's machine and the launcher's, with a launcher that knows one sandbox."""
    async with street() as made:
        await made.wires("launcher", "--patience", "6")
        await made.wires("hub")
        site = made.machine("launcher")
        runner = web.AppRunner(_launcher(site.callers_of("launcher")), shutdown_timeout=0.1)
        await runner.setup()
        private_directory(site.run_dir)
        await web.SockSite(runner, listening_socket(site.launcher_socket)).start()
        yield made
        await runner.cleanup()


def _launcher(callers: frozenset[int]) -> web.Application:
    app = application(callers)

    async def running(_: web.Request) -> web.Response:
        return web.json_response(IDS)

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"text": (await request.read()).decode()})

    async def refuse(_: web.Request) -> web.Response:
        raise UnreachableError("No room.", code="backend.failed", remedy="Wait.")

    app.router.add_get("/running", running)
    app.router.add_put("/echo", echo)
    app.router.add_get("/gpus", refuse)
    return app


def _ask(road: Street, certificates: Path | None, raw: bytes = ASKING) -> asyncio.Task[tuple[int, bytes]]:
    context = road.certificates.client(certificates)
    return asyncio.ensure_future(talk(road.port, HOSTS["launcher"], raw, context))


async def _passes(road: Street) -> bool:
    """Does the hub, by its own certificate, reach the launcher?"""
    status, raw = await _ask(road, road.certificates.make("hub", "127.0.0.1"))
    return status == 200 and IDS[0].encode() in raw


async def test_a_client_works_through_two_wires_as_on_one_machine(road: Street) -> None:
    """Answers, errors with their remedies and large bodies pass; the launcher sees its own uid."""
    async with LauncherClient(road.machine("hub").launcher_socket) as client:
        assert await client.running() == frozenset(IDS)
        text = "x" * 900_000
        assert (await client.call("PUT", "/echo", text))["text"].strip('"') == text
        with pytest.raises(AnswerError) as caught:
            await client.gpus()
        assert (caught.value.code, caught.value.remedy) == ("backend.failed", "Wait.")


async def test_many_callers_at_once_are_carried(road: Street) -> None:
    """Sixty calls at a time, each on a connection of its own, are all answered."""
    async with LauncherClient(road.machine("hub").launcher_socket) as client:
        answers = await asyncio.gather(*(client.running() for _ in range(60)))
    assert answers == [frozenset(IDS)] * 60


async def test_a_program_that_is_away_is_unreachable_and_comes_back(control: Control) -> None:
    """Without the gateway, or without its wires, a call fails at once as it does on one machine."""
    async with street() as made:
        await made.wires("hub")
        await made.wires("gateway")
        async with GatewayClient(made.machine("hub").gateway_socket) as client:
            with pytest.raises(UnreachableError) as caught:
                await asyncio.wait_for(client.health(), 30)
            assert caught.value.code == "gateway.unreachable"
            await made.gateway()
            name = "sb-" + "a" * 20
            opened = await client.open(name, entry())
            control("the gateway answers through the wires", opened.directory.endswith(name))
            made.end("wires-gateway")
            with pytest.raises(UnreachableError):
                await asyncio.wait_for(client.health(), 30)
            await made.wires("gateway")
            assert [item.id for item in await client.inventory()] == [name]


async def test_nobody_passes_without_a_certificate_of_ours(road: Street, control: Control) -> None:
    """No certificate, one of another authority and one that has ended are refused in the handshake."""
    ended = datetime.now(timezone.utc) - timedelta(hours=1)
    strangers = (
        None,
        road.certificates.make("hub", "127.0.0.1", authority=trustme.CA()),
        road.certificates.make("hub", "127.0.0.1", ends=ended),
    )
    for stranger in strangers:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await _ask(road, stranger)
    control("the hub's own certificate passes", await _passes(road))


@pytest.mark.parametrize(
    ("program", "code"),
    [("tracking", b"wires.not_allowed"), ("gateway", b"wires.not_allowed"), ("root", b"certificates.name")],
)
async def test_a_program_without_business_here_is_refused(
    road: Street, control: Control, program: str, code: bytes
) -> None:
    """A true certificate of a program that does not call this socket, or of no program, opens nothing."""
    status, raw = await _ask(road, road.certificates.make(program, "127.0.0.1"))
    assert (status, code in raw, IDS[0].encode() in raw) == (403, True, False)
    control("the hub's own certificate passes", await _passes(road))


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (HEAD.replace(b"launcher.", b"control-hub."), 404, b"wires.unknown"),
        (HEAD.replace(b"launcher.", b"../launcher."), 404, b"wires.unknown"),
        (HEAD.replace(b"CONNECT launcher.sandbox:443", b"GET /running"), 404, b"wires.unknown"),
        (b"CONNECT launcher.sandbox:443 HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431, b"wires.bad_head"),
        (b"\x00\x01 garbage\r\n\r\n", 400, b"wires.bad_head"),
        (b"CONNECT launcher.sandbox:443 HTTP/1.1\r\n", 408, b"wires.slow"),
    ],
)
async def test_a_head_that_asks_for_something_else_is_refused(
    road: Street, control: Control, raw: bytes, status: int, code: bytes
) -> None:
    """Other sockets, other methods, what is no head, one too large and one too slow get a coded refusal."""
    own = road.certificates.make("hub", "127.0.0.1")
    found, answer = await _ask(road, own, raw)
    assert (found, code in answer, b'"message"' in answer) == (status, True, True)
    control("the hub's own certificate passes", await _passes(road))


async def test_who_never_speaks_is_sent_away(road: Street, control: Control) -> None:
    """A connection without a handshake is closed when its time is over; others are served meanwhile."""
    reader, writer = await asyncio.open_connection(HOSTS["launcher"], road.port)
    control("others are served", await _passes(road))
    assert await asyncio.wait_for(reader.read(), 40) == b""
    writer.close()


async def test_a_false_gateway_is_not_spoken_to() -> None:
    """What answers at the gateway's address with the launcher's certificate gets no request."""
    async with street() as made:
        await made.wires("hub")
        false = made.certificates.make("launcher", HOSTS["gateway"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(false / "certificate.pem"), str(false / "key.pem"))
        heard: list[bytes] = []

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read())
            writer.close()

        server = await asyncio.start_server(hear, HOSTS["gateway"], made.port, ssl=context)
        async with GatewayClient(made.machine("hub").gateway_socket) as client:
            with pytest.raises(UnreachableError):
                await client.health()
        server.close()
        assert set(heard) == {b""}
        assert "is the launcher, not the gateway" in made.log_of("hub")
