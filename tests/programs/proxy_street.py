"""What does a test of the secrets' proxy need? Door, gateway, broker and control before a real https host."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import trustme
from aiohttp import web
from multidict import CIMultiDictProxy

from jupyter_sandbox_spawner.broker.blocks import Blocks
from jupyter_sandbox_spawner.broker.exchanges import Exchanges, ExchangeTimes
from jupyter_sandbox_spawner.broker.parts import Parts as BrokerParts
from jupyter_sandbox_spawner.broker.permits import Permits, PermitTimes
from jupyter_sandbox_spawner.broker.proxy import SecretsProxy
from jupyter_sandbox_spawner.broker.secrets_api import SecretsApi
from jupyter_sandbox_spawner.broker.upstream import Upstream
from jupyter_sandbox_spawner.clients.grants import ControlBrokerClient
from jupyter_sandbox_spawner.clients.hub import HubClient
from jupyter_sandbox_spawner.clients.resolve import Resolver
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.api_broker import BrokerApi
from jupyter_sandbox_spawner.models import SandboxSpec
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.serving import application, listening_socket, private_directory

from .broker_street import BrokerStreet, broker_street
from .control_neighbours import asked, spec
from .gateway_house import GatewayHouse, entry, gateway_house
from .streams import serving

__all__ = ["AUTHORITY", "CAROL", "DAVE", "SECRET", "TOKEN", "Host", "ProxyStreet", "basic", "proxy_street"]

AUTHORITY = trustme.CA()
SECRET = "canary/5e+cret&value"
CAROL, DAVE = spec("carol", nonce="7"), spec("dave", nonce="8")
TOKEN = "token-of-carol"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
GRANTS = (
    Grant(name="git/main", kind="git", host="git.example.org", delivery="proxy"),
    Grant(name="pip/index", kind="pip", host="git.example.org", delivery="proxy"),
    Grant(name="api/header", kind="http", host="git.example.org", delivery="proxy", header="X-Api-Key"),
    Grant(name="api/bearer", kind="http", host="git.example.org"),
    Grant(name="api/away", kind="http", host="away.example.org"),
    Grant(name="api/wrong", kind="http", host="wrong.example.org"),
    Grant(name="api/private", kind="http", host="private.example.org"),
    Grant(name="api/counted", kind="http", host="git.example.org"),
    Grant(name="api/unstored", kind="http", host="git.example.org"),
    Grant(name="api/short", kind="http", host="git.example.org"),
    Grant(name="kv/plain"),
)
STORED = {
    "git/main": {"username": "robot", "password": SECRET},
    **{
        f"api/{name}": {"token": SECRET}
        for name in ("header", "bearer", "away", "wrong", "private", "counted")
    },
    "pip/index": {"token": SECRET},
    "api/short": {"token": "abc"},
    "kv/plain": {"value": SECRET},
}


def basic(password: str, user: str = "sandbox") -> str:
    """The header of a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Host:
    """A real https server for a few names; it keeps heads and bodies, and a test says what it answers."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.answer: Answer | None = None
        self.keeps_bodies = True
        self.port = 0

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if self.keeps_bodies:
            self.bodies.append(await request.read())
        return web.Response(text="hello") if self.answer is None else await self.answer(request)

    def forget(self) -> None:
        """Nothing has come, and everything is answered with a greeting."""
        self.seen.clear()
        self.bodies.clear()
        self.answer = None

    @property
    def paths(self) -> list[str]:
        """Method and path of what came."""
        return [f"{request.method} {request.raw_path}" for request in self.seen]

    async def start(self, stack: AsyncExitStack, *names: str, port: int = 0) -> None:
        """Serve with a certificate for these names; port 0 is any."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert(*names).configure_cert(context)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]


class NamesOnLoopback(Resolver):
    """DNS in which every name is this machine."""

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",)

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class ProxyStreet:
    """Carol's server may use the secrets of GRANTS by proxy; `host` has two names, `other` is elsewhere."""

    place: BrokerStreet
    house: GatewayHouse
    blocks: Blocks
    exchanges: Exchanges
    control: web.AppRunner
    host: Host
    other: Host
    doors: dict[str, str] = field(default_factory=dict)

    def session(self, sandbox: SandboxSpec = CAROL) -> aiohttp.ClientSession:
        """A client that connects to the server's API door."""
        connector = aiohttp.UnixConnector(f"{self.doors[sandbox.id]}/api.sock")
        return aiohttp.ClientSession("http://127.0.0.1:8081", connector=connector, auto_decompress=False)

    async def ask(
        self, line: str, name: str = "git/main", token: str = TOKEN, **more: object
    ) -> tuple[int, bytes, CIMultiDictProxy[str]]:
        """Status, body and headers of a request below `secrets/NAME/proxy/`; redirects are not followed."""
        method, path = line.split(" ", 1)
        headers = {"Authorization": f"token {token}"} if token else {}
        headers |= dict(more.pop("headers", {}))  # type: ignore[call-overload]
        async with (
            self.session() as session,
            session.request(
                method,
                f"/services/sandbox/api/secrets/{name}/proxy/{path}",
                headers=headers,
                allow_redirects=False,
                **more,  # type: ignore[arg-type]
            ) as answer,
        ):
            return answer.status, await answer.read(), answer.headers

    async def raw(self, data: bytes, seconds: float = 10) -> bytes:
        """Send bytes through Carol's door and read until it closes."""
        reader, writer = await asyncio.open_unix_connection(f"{self.doors[CAROL.id]}/api.sock")
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), seconds)
        finally:
            writer.close()

    @asynccontextmanager
    async def port(self) -> AsyncIterator[int]:
        """A loopback port that leads to Carol's door, as the relay inside has it."""

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            door = await asyncio.open_unix_connection(f"{self.doors[CAROL.id]}/api.sock")
            try:
                ways = [
                    asyncio.create_task(_copy(reader, door[1])),
                    asyncio.create_task(_copy(door[0], writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                door[1].close()

        async with serving(relay) as port:
            yield port

    async def admit(self, wanted: SandboxSpec, token: str, *grants: Grant) -> None:
        """A running server with these grants, its doors open."""
        answer = await Admissions(self.place.parts, lambda _: None).admit(asked(wanted, secrets=grants))
        assert answer.admitted, answer
        scope = f"custom:sandbox:self!server={wanted.user}/{wanted.server}"
        self.place.here.hub.tokens[token] = {"name": wanted.user, "kind": "user", "scopes": [scope]}
        limits = entry(wanted.user, wanted.server, api_requests_per_second=10_000)
        self.doors[wanted.id] = (await self.house.client.open(wanted.id, limits)).directory


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


async def _served(
    stack: AsyncExitStack, path: str, *apis: SecretsProxy | SecretsApi | BrokerApi
) -> web.AppRunner:
    app = application(frozenset())
    for api in apis:
        api.add_to(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening_socket(path)).start()
    return runner


@asynccontextmanager
async def proxy_street(
    times: ExchangeTimes | None = None, permits: PermitTimes | None = None
) -> AsyncIterator[ProxyStreet]:
    """Everything serving; the host answers for two names, one of them with another's certificate."""
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(broker_street())
        house = await stack.enter_async_context(gateway_house())
        host, other = Host(), Host()
        await host.start(stack, "git.example.org")
        await other.start(stack, "other.example.org", "127.0.0.1")
        services = {
            "git.example.org:443": f"127.0.0.1:{host.port}",
            "wrong.example.org:443": f"127.0.0.1:{other.port}",
            "away.example.org:443": "127.0.0.1:9",
        }
        blocks = Blocks(str(Path(place.here.directory) / "store"))
        hub = await stack.enter_async_context(HubClient(place.here.hub_url, "", timeout=4))
        serving_control = await _served(stack, place.here.path("c-proxy"), BrokerApi(place.parts))
        control = await stack.enter_async_context(ControlBrokerClient(place.here.path("c-proxy")))
        exchanges = await stack.enter_async_context(Exchanges(control, blocks, times))
        tls = ssl.create_default_context()
        AUTHORITY.configure_trust(tls)
        upstream = await stack.enter_async_context(Upstream(NamesOnLoopback(), services, tls))
        path = house.site.broker_socket("gateway")
        private_directory(path.rpartition("/")[0])
        allowed = Permits(place.store, hub, control, blocks, permits)
        proxy = SecretsProxy(allowed, exchanges, upstream, "/")
        await _served(
            stack,
            path,
            proxy,
            SecretsApi(BrokerParts(store=place.store, blocks=blocks, control=control), hub),
        )
        for name, fields in STORED.items():
            await place.store.put(name, fields, "x")
        street = ProxyStreet(place, house, blocks, exchanges, serving_control, host, other)
        await street.admit(CAROL, TOKEN, *GRANTS)
        yield street
