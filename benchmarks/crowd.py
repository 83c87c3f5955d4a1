"""How do broker and control run with 500 sandboxes that are none? Both programs and their Vault are real.

The hub only says whose a token is; launcher and gateway are away. A sandbox is a record of control, admitted
by the call that the hub plugin makes, and asks as the gateway passes it on.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from hub_config.demo.running import CHECKOUT
from jupyter_sandbox_spawner.clients.broker import BrokerAdminClient
from jupyter_sandbox_spawner.clients.control import AdmissionRequest, ControlClient, ProfileTerms
from jupyter_sandbox_spawner.clients.grants import Reader
from jupyter_sandbox_spawner.models import Mount, Resources, SandboxSpec
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.rules.identity import SANDBOX_HEADER
from jupyter_sandbox_spawner.settings import Site, write_site

from .machine import LOOPBACK, free_port, program, until_it_listens
from .row import BenchmarkError
from .vault import RowVault

__all__ = ["SECRET", "Crowd", "open_crowd", "pss"]

SECRET = "shared/report"
_AT_ONCE = 50  # of those who ask
_GONE_WITHIN = 60.0


@dataclass
class Crowd:
    """`broker` is the process; `readers` are the sandboxes that are admitted now."""

    site: Site
    broker: int
    admin: BrokerAdminClient
    hub: ControlClient
    session: aiohttp.ClientSession
    readers: Sequence[Reader] = ()

    async def admit(self, count: int) -> None:
        """So many servers are about to start."""
        round_ = secrets.token_hex(4)
        readers = [_reader(f"u{number}-{round_}") for number in range(count)]
        await _in_turns([self._admit(reader) for reader in readers])
        self.readers = readers

    async def _admit(self, reader: Reader) -> None:
        spec = SandboxSpec(
            id=reader.sandbox,
            user=reader.user,
            server="",
            profile="bench",
            profile_digest="0",
            environment_name="default",
            host_uid=3_000_000,
            resources=Resources(cpu=1, memory=1 << 30),
            mounts=(Mount(kind="home", source="/h", target="/home/jovyan", read_only=False),),
        )
        terms = ProfileTerms(slug="bench", digest="0", secrets=(Grant(name=SECRET),))
        answer = await self.hub.admit(AdmissionRequest(spec=spec, terms=terms))
        if not answer.admitted:
            raise BenchmarkError(f"control does not admit {reader.user}: {answer.message}")

    async def read_all(self) -> float:
        """Each reads its secret, many at once; the seconds it took."""
        begin = time.perf_counter()
        await _in_turns([self._read(reader) for reader in self.readers])
        return time.perf_counter() - begin

    async def _read(self, reader: Reader) -> None:
        headers = {SANDBOX_HEADER: reader.sandbox, "Authorization": f"token {reader.user}"}
        async with self.session.post(f"/api/secrets/{SECRET}/read", headers=headers) as answer:
            if answer.status != 200:
                raise BenchmarkError(f"a read was answered {answer.status}: {await answer.text()}")
            await answer.read()

    async def end_all(self) -> float:
        """All servers stop at the same time; the seconds until Vault has ended their logins.

        The hub's own word for each comes first and is not counted: it takes as long with no secret at all.
        """
        await _in_turns(
            [self.hub.released(reader.sandbox, "stop.by_user", "stopped") for reader in self.readers]
        )
        begin = time.perf_counter()
        while (state := await self.admin.state())["held"] or state["pending"]:
            if time.perf_counter() - begin > _GONE_WITHIN:
                raise BenchmarkError(f"logins are not ended: {state}")
            await asyncio.sleep(0.05)  # the broker announces no end
        self.readers = ()
        return time.perf_counter() - begin


async def _in_turns(acts: Sequence[object]) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(act: object) -> None:
        async with gate:
            await act  # type: ignore[misc]

    await asyncio.gather(*(one(act) for act in acts))


def _reader(user: str) -> Reader:
    return Reader(sandbox=sandbox_id(user, "", secrets.token_hex(8)), user=user, server="", profile="bench")


def pss(process: int) -> float:
    """MiB of memory that are this process's, shared pages counted by their share."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise BenchmarkError(f"The kernel does not tell the memory of {process}.")


async def _whose(request: web.Request) -> web.Response:
    user = request.headers.get("Authorization", "").removeprefix("token ")
    scope = f"custom:sandbox:self!server={user}/"
    return web.json_response({"name": user, "kind": "user", "scopes": [scope]})


async def _hub(stack: AsyncExitStack) -> int:
    app = web.Application()
    app.add_routes([web.get("/hub/api/user", _whose)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    return port


@asynccontextmanager
async def open_crowd(directory: Path, vault: RowVault) -> AsyncIterator[Crowd]:
    """Control, and a broker that has just started; nobody is admitted."""
    async with AsyncExitStack() as stack:
        port = await _hub(stack)
        (directory / "run").mkdir(mode=0o700, exist_ok=True)
        site = Site(
            run_dir=str(directory / "run"),
            state_dir=str(directory / "state"),
            profiles="",
            public_port=1,
            hub_port=port,
            proxy_api_port=1,
            front_port=free_port(),
            vault=vault.site,
        )
        write_site(directory / "site.json", site)
        token = directory / "run/control.token"
        token.touch(mode=0o600)
        token.write_text("control")
        await _start(stack, directory, "control", site.control_socket("broker"))
        broker = await _start(stack, directory, "broker", site.broker_socket("admin"))  # the last one
        admin, hub = BrokerAdminClient(site.broker_socket("admin")), ControlClient(site.control_socket("hub"))
        stack.push_async_callback(admin.close)
        stack.push_async_callback(hub.close)
        vault.trust(*(await admin.keys())["pems"])
        connector = aiohttp.UnixConnector(site.broker_socket("gateway"), limit=_AT_ONCE)
        session = await stack.enter_async_context(
            aiohttp.ClientSession("http://localhost", connector=connector)
        )
        yield Crowd(site, broker, admin, hub, session)


async def _start(stack: AsyncExitStack, directory: Path, name: str, socket: str) -> int:
    command = [
        *(sys.executable, "-m", f"jupyter_sandbox_spawner.{name}"),
        *("--site", str(directory / "site.json"), "--log-level", "warning"),
    ]
    log = directory / f"{name}.log"
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    process = await stack.enter_async_context(program(command, log, environment))
    await until_it_listens(socket, process, log)
    return process.pid
