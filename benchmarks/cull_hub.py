"""How does one get a hub with thousands of servers? Its database is filled, then it is started."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from jupyterhub import __version__, orm
from jupyterhub.roles import create_role, get_default_roles
from sqlalchemy import insert

from hub_config.demo.running import CHECKOUT, VENVS
from jupyter_sandbox_spawner.names import sandbox_id

from .cull_inside import OURS
from .machine import LOOPBACK, end_of, free_port, program, until_it_listens
from .row import BenchmarkError

__all__ = ["BLOCKS", "FullHub", "open_full_hub", "sandbox_name", "user_name"]

BLOCKS = 10  # tenths of the servers; each was last used an hour later than the one before
_BOOTS_WITHIN = 900.0
# A stock hub with so many servers answers nobody for a minute now and then.
_PATIENCE = aiohttp.ClientTimeout(total=600, sock_connect=600)
_CONFIGURATION = """
from benchmarks.cull_inside import HANDLERS, FakeSpawner

c = get_config()  # noqa: F821 (given by traitlets)
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = {hub}
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.JupyterHub.db_url = "{database}"
c.JupyterHub.cookie_secret_file = "{directory}/cookie_secret"
c.JupyterHub.spawner_class = FakeSpawner
c.JupyterHub.extra_handlers = HANDLERS
c.JupyterHub.cleanup_servers = False
c.JupyterHub.log_level = "WARN"
# Asked for when it is measured; the hub's own polls are nobody's pass.
c.JupyterHub.last_activity_interval = 86400
c.Spawner.poll_interval = 86400
# More than a boot takes here, so that the hub takes none of the servers for dead.
c.Spawner.http_timeout = 900
c.JupyterHub.services = [
    {{"name": "sandbox", "api_token": "{token}"}},
    {{"name": "culler", "api_token": "{culler}"}},
]
c.JupyterHub.load_roles = [
    {{"name": "sandbox", "services": ["sandbox"],
     "scopes": ["list:users", "read:users:name", "read:servers", "delete:servers", "proxy"]}},
    {{"name": "culler", "services": ["culler"],
     "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"]}},
]
"""


@dataclass(frozen=True)
class FullHub:
    """`token` is control's, `culler` the peer's; all servers answer at `servers_port`."""

    servers: int
    process: int
    port: int
    proxy_port: int
    servers_port: int
    token: str
    culler: str
    ours: Path
    boot: float
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Of its pages."""
        return f"http://{LOOPBACK}:{self.port}/hub"


def user_name(number: int) -> str:
    """The owner of a server."""
    return f"user{number:05}"


def sandbox_name(number: int) -> str:
    """The id of a server's sandbox."""
    return sandbox_id(user_name(number), "", "bench")


@asynccontextmanager
async def open_full_hub(directory: Path, servers: int, say: Callable[[str], None]) -> AsyncIterator[FullHub]:
    """The hub with its proxy, when all servers are ready and routed."""
    async with AsyncExitStack() as stack:
        answers = await _serve_servers(stack)
        public, hub, proxy = free_port(), free_port(), free_port()
        token, culler, ours = secrets.token_hex(16), secrets.token_hex(16), directory / "ours"
        database = f"sqlite:///{directory}/jupyterhub.sqlite"
        say(f"filling a hub's database with {servers} servers")
        await asyncio.to_thread(_fill, database, servers, answers)
        config = directory / "jupyterhub_config.py"
        config.write_text(
            _CONFIGURATION.format(
                public=public,
                hub=hub,
                proxy=proxy,
                database=database,
                directory=directory,
                token=token,
                culler=culler,
            )
        )
        environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
            OURS: str(ours),
        }
        await _start_proxy(stack, directory, (public, proxy), environment)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=_PATIENCE)
        )
        began = time.perf_counter()
        command = (sys.executable, "-m", "jupyterhub", "-f", str(config))
        log = directory / "hub.log"
        process = await stack.enter_async_context(program(command, log, environment))
        await until_it_listens(hub, process, log, _BOOTS_WITHIN)
        here = FullHub(servers, process.pid, hub, proxy, answers, token, culler, ours, 0.0, session)
        await _until_booted(here, environment["CONFIGPROXY_AUTH_TOKEN"], log, say)
        boot = time.perf_counter() - began
        say(f"the hub has booted with {servers} servers in {boot:.0f} s")
        yield FullHub(servers, process.pid, hub, proxy, answers, token, culler, ours, boot, session)


async def _serve_servers(stack: AsyncExitStack) -> int:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, headers={"X-JupyterHub-Version": __version__})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port, backlog=1024).start()
    return port


def _fill(database: str, servers: int, port: int) -> None:
    session = orm.new_session_factory(database)()
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    numbers = range(1, servers + 1)

    def used(number: int) -> datetime:
        return now - timedelta(hours=BLOCKS - (number - 1) * BLOCKS // servers)

    def write(table: Any, rows: list[dict[str, object]]) -> None:
        session.execute(insert(table), rows)

    write(
        orm.User, [{"id": n, "name": user_name(n), "last_activity": used(n), "created": now} for n in numbers]
    )
    write(
        orm.Server,
        [{"id": n, "ip": LOOPBACK, "port": port, "base_url": f"/user/{user_name(n)}/"} for n in numbers],
    )
    spawners = [
        {
            "id": n,
            "user_id": n,
            "server_id": n,
            "name": "",
            "state": {"sandbox": sandbox_name(n)},
            "started": now - timedelta(hours=BLOCKS + 1),
            "last_activity": used(n),
        }
        for n in numbers
    ]
    write(orm.Spawner, spawners)
    # As a hub that has run before has them; else it gives its roles to one user after the other at its start.
    for role in get_default_roles():
        create_role(session, role)
    role = orm.Role.find(session, "user")
    write(orm.User.roles.property.secondary, [{"user_id": n, "role_id": role.id} for n in numbers])
    session.commit()
    session.close()


async def _start_proxy(
    stack: AsyncExitStack, directory: Path, ports: tuple[int, int], environment: Mapping[str, str]
) -> None:
    command = (
        str(VENVS / "proxy/node_modules/.bin/configurable-http-proxy"),
        *(f"--port={ports[0]}", f"--api-port={ports[1]}", "--ip=127.0.0.1", "--api-ip=127.0.0.1"),
        "--log-level=warn",
    )
    log = directory / "proxy.log"
    process = await stack.enter_async_context(program(command, log, environment))
    await until_it_listens(ports[0], process, log)


async def _until_booted(hub: FullHub, proxy_token: str, log: Path, say: Callable[[str], None]) -> None:
    """The hub listens long before it has looked at all servers, and announces neither that nor the routes."""
    deadline, told = time.monotonic() + _BOOTS_WITHIN, 0.0
    headers = {"Authorization": f"token {proxy_token}"}
    ready = routes = 0
    while ready < hub.servers or routes < hub.servers:
        if time.monotonic() > deadline:
            raise BenchmarkError(
                f"The hub does not boot: {ready} of {hub.servers} ready, {routes} routes:\n{end_of(log)}"
            )
        await asyncio.sleep(0.5)
        async with hub.session.get(f"{hub.url}/bench/boot") as answer:
            ready = (await answer.json())["ready"]
        if ready == hub.servers:
            url = f"http://{LOOPBACK}:{hub.proxy_port}/api/routes"
            async with hub.session.get(url, headers=headers) as answer:
                routes = len(await answer.json())
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(f"the hub boots: {ready} of {hub.servers} servers ready, {max(routes - 1, 0)} routes")
