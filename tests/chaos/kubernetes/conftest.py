"""Where do these tests break things? On one cluster, with twenty sandboxes that live through all of them."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from tests.programs.control_neighbours import HubWithServers
from tests.support.cluster import Cluster
from tests.support.control_databases import shared_postgres

from .harbour import Harbour
from .images import IMAGE, make_real_root
from .quay import CLOSED, Quay

NEEDS = ("chaos", "cluster", "postgresql")


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def harbour(
    cluster: Cluster, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> AsyncIterator[Harbour]:
    """Twenty sandboxes that run; at the end nothing of them may be left."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jss-", dir="/tmp")))
        make_real_root(directory / "root.tar")
        cluster.import_root(directory / "root.tar", IMAGE)
        (directory / "root.tar").unlink()
        space = f"chaos-{secrets.token_hex(3)}"
        cluster.make_namespace(space)
        stack.callback(cluster.drop_namespace, space, wait=False)
        cluster.apply({**CLOSED, "metadata": {"name": "closed", "namespace": space}})
        server = shared_postgres()
        database = server.make()
        stack.callback(server.drop, database)
        api = HubWithServers()
        runner = web.AppRunner(api.app(), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        port = listener.getsockname()[1]
        quay = Quay(directory, cluster, space, port, server.by_socket(database))
        stack.callback(evidence("the programs", quay.log))
        stack.push_async_callback(quay.close)
        await quay.open()
        made = Harbour(quay, api)
        print(f"twenty sandboxes after {await made.fill():.0f} s")
        yield made
        for session in made.sessions.values():
            await session.close()
        await made.stop(*(seat for seat in made.desk.seats if seat.sandbox))
        await made.agreed(150)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every one of them needs the same lanes; the first one waits for cluster and sandboxes."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.lane(*NEEDS))
            item.add_marker(pytest.mark.timeout(400))
