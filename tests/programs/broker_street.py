"""What does a test of the broker need? The broker's own parts beside a real control, a hub and a store."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from jupyter_sandbox_spawner.broker.admin_api import AdminApi
from jupyter_sandbox_spawner.broker.blocks import Blocks
from jupyter_sandbox_spawner.broker.control_api import ControlApi
from jupyter_sandbox_spawner.broker.file_store import FileStore
from jupyter_sandbox_spawner.broker.parts import Parts as BrokerParts
from jupyter_sandbox_spawner.broker.secrets_api import SecretsApi
from jupyter_sandbox_spawner.clients.broker import BrokerAdminClient
from jupyter_sandbox_spawner.clients.grants import ControlBrokerClient
from jupyter_sandbox_spawner.clients.hub import HubClient
from jupyter_sandbox_spawner.control.admission import Admissions
from jupyter_sandbox_spawner.control.api_broker import BrokerApi
from jupyter_sandbox_spawner.control.parts import Parts
from jupyter_sandbox_spawner.control.stopping import Stopper
from jupyter_sandbox_spawner.models import SandboxSpec
from jupyter_sandbox_spawner.rules.grants import Grant
from jupyter_sandbox_spawner.rules.identity import SANDBOX_HEADER
from jupyter_sandbox_spawner.serving import application, listening_socket

from .control_neighbours import asked, spec
from .control_street import Street, parts_of, street

__all__ = ["ALICE", "BOB", "CANARY", "GPU", "BrokerStreet", "broker_street", "serve"]

CANARY = "canary-9c31-value"
ALICE, GPU, BOB = spec("alice"), spec("alice", "gpu", "2"), spec("bob", nonce="3")


@dataclass
class BrokerStreet:
    """Alice may read db/warehouse and her own token, her GPU server nothing, bob his own token."""

    here: Street
    parts: Parts
    store: FileStore
    admin: BrokerAdminClient

    async def admit(self, wanted: SandboxSpec, *names: str | Grant) -> None:
        """A running server with these grants; its token is `USER/SERVER`."""
        secrets = tuple(Grant(name=name) if isinstance(name, str) else name for name in names)
        answer = await Admissions(self.parts, lambda _: None).admit(asked(wanted, secrets=secrets))
        assert answer.admitted, answer
        scope = f"custom:sandbox:self!server={wanted.user}/{wanted.server}"
        token = f"{wanted.user}/{wanted.server}"
        self.here.hub.tokens[token] = {"name": wanted.user, "kind": "user", "scopes": [scope]}

    async def release(self, wanted: SandboxSpec) -> None:
        """Its end is recorded, as the hub plugin and the reconciler do it."""
        from jupyter_sandbox_spawner.control import records

        record = await self.parts.store.run(lambda db: records.by_id(db, wanted.id))
        assert record is not None
        await Stopper(self.parts).release(record, "stop.by_user", "It was stopped.", 0)

    async def ask(
        self, line: str, token: str = "alice/", sandbox: str = ALICE.id, body: str | None = None
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, document and headers of a request as the gateway passes it on."""
        method, path = line.split(" ", 1)
        headers = {SANDBOX_HEADER: sandbox} | ({"Authorization": f"token {token}"} if token else {})
        connector = aiohttp.UnixConnector(self.here.path("b-gateway"))
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as session,
            session.request(method, path, headers=headers, data=body) as answer,
        ):
            return answer.status, await answer.json(), dict(answer.headers)

    async def audit(self, *actions: str) -> list[dict[str, Any]]:
        """The audit's lines of these actions, oldest first."""
        lines = await self.parts.audit.lines(limit=1000)
        return [line for line in reversed(lines) if line["action"] in actions]


async def serve(stack: AsyncExitStack, path: str, api: Any) -> None:
    """Let these routes answer at a socket for the block."""
    app = application(frozenset())
    api.add_to(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening_socket(path)).start()


@asynccontextmanager
async def broker_street() -> AsyncIterator[BrokerStreet]:
    """Everything serving, with three secrets stored."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="bs", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        parts = await stack.enter_async_context(parts_of(here))
        await serve(stack, here.path("c-broker"), BrokerApi(parts))
        store = await stack.enter_async_context(FileStore(str(Path(name) / "store")))
        hub = await stack.enter_async_context(HubClient(here.hub_url, "", timeout=4))
        control = await stack.enter_async_context(ControlBrokerClient(here.path("c-broker")))
        broker = BrokerParts(store=store, blocks=Blocks(str(Path(name) / "store")), control=control)
        await serve(stack, here.path("b-gateway"), SecretsApi(broker, hub))
        await serve(stack, here.path("b-admin"), AdminApi(broker))
        await serve(stack, here.path("b-control"), ControlApi(broker))
        admin = await stack.enter_async_context(BrokerAdminClient(here.path("b-admin")))
        found = BrokerStreet(here, parts, store, admin)
        for secret in ("db/warehouse", "users/alice/token", "users/bob/token"):
            await store.put(secret, {"password": f"{CANARY} of {secret}"}, "x")
        await found.admit(ALICE, "db/warehouse", "users/{user}/token", "never/stored")
        await found.admit(GPU)
        await found.admit(BOB, "users/{user}/token")
        yield found
