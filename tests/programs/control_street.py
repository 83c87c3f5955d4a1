"""Where does control live in these tests? In a street with neighbours that come and go."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from aiohttp import web

from jupyter_sandbox_spawner.clients.broker import BrokerControlClient
from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.hub import HubClient
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.control.audit import AuditLog
from jupyter_sandbox_spawner.control.denials import DenialLedger
from jupyter_sandbox_spawner.control.isolation import HostLimits
from jupyter_sandbox_spawner.control.parts import Parts, Tuning
from jupyter_sandbox_spawner.control.store import Store
from jupyter_sandbox_spawner.control.terms import OwnTerms
from jupyter_sandbox_spawner.models import SandboxSpec
from jupyter_sandbox_spawner.serving import listening_socket
from tests.support.control_databases import fresh_database

from .control_neighbours import TOKEN, GatewayWithDoors, HubWithServers, LauncherWithSandboxes, SettableClock


@dataclass
class Street:
    """All neighbours and where they live. Stop and start one with `close` and `serve`."""

    directory: Path
    stack: AsyncExitStack
    database: str
    hub: HubWithServers = field(default_factory=HubWithServers)
    launcher: LauncherWithSandboxes = field(default_factory=LauncherWithSandboxes)
    gateway: GatewayWithDoors = field(default_factory=GatewayWithDoors)
    clock: SettableClock = field(default_factory=SettableClock)
    hub_url: str = ""
    hub_port: int = 0
    runners: dict[str, web.AppRunner] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """The socket of launcher or gateway."""
        return str(self.directory / f"{name}.sock")

    async def serve(self, name: str) -> None:
        """Start one neighbour; the hub keeps its port."""
        app = {"hub": self.hub.app, "launcher": self.launcher.app, "gateway": self.gateway.app}[name]()
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self.runners[name] = runner
        self.stack.push_async_callback(runner.cleanup)
        if name != "hub":
            listener = listening_socket(self.path(name))
            await web.SockSite(runner, listener).start()
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.hub_port))
        self.hub_port = listener.getsockname()[1]
        self.hub_url = f"http://127.0.0.1:{self.hub_port}/hub/api"
        await web.SockSite(runner, listener).start()

    async def close(self, name: str) -> None:
        """Take one neighbour away."""
        await self.runners.pop(name).cleanup()

    def running(self, wanted: SandboxSpec, used: datetime | None = None) -> None:
        """Hub, launcher and gateway all have it."""
        self.hub.add(wanted.user, wanted.server)
        self.launcher.add(wanted)
        self.gateway.add(wanted, used)


@asynccontextmanager
async def street(directory: Path) -> AsyncIterator[Street]:
    """All three, serving."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(fresh_database(directory))
        here = Street(directory=directory, stack=stack, database=database)
        for name in ("hub", "launcher", "gateway"):
            await here.serve(name)
        yield here


@asynccontextmanager
async def parts_of(here: Street, tuning: Tuning | None = None, profiles: str = "") -> AsyncIterator[Parts]:
    """Control's parts on that street, with the settable clock; enter again to restart control."""
    async with AsyncExitStack() as stack:
        audit = await stack.enter_async_context(
            AuditLog(str(here.directory / "audit"), here.clock, reserve=1 << 16)
        )
        store = await stack.enter_async_context(Store(here.database, 0.3))
        hub = await stack.enter_async_context(HubClient(here.hub_url, TOKEN))
        launcher, gateway = LauncherClient(here.path("launcher")), GatewayClient(here.path("gateway"))
        stack.push_async_callback(launcher.close)
        stack.push_async_callback(gateway.close)
        broker = await stack.enter_async_context(BrokerControlClient(here.path("b-control")))
        yield Parts(
            clock=here.clock,
            store=store,
            audit=audit,
            denials=DenialLedger(audit, here.clock),
            terms=OwnTerms(profiles),
            hub=hub,
            launcher=launcher,
            gateway=gateway,
            broker=broker,
            limits=HostLimits(launcher),
            tuning=tuning or Tuning(settle=0, tick=0.05),
        )


def python_path() -> str:
    """What a program started by a test needs to import what the test imports."""
    import rfc8785

    import jupyter_sandbox_spawner

    places = [Path(str(module.__file__)).parent.parent for module in (jupyter_sandbox_spawner, rfc8785)]
    return os.pathsep.join(str(place) for place in places)
