"""Of two replicas behind one name, is the one that works found, and the other after it?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.clients.unix_http import UnixClient
from jupyter_sandbox_spawner.errors import UnreachableError
from jupyter_sandbox_spawner.serving import listening_socket
from jupyter_sandbox_spawner.wires.counts import Counts
from jupyter_sandbox_spawner.wires.dial import Far
from jupyter_sandbox_spawner.wires.outward import Outward
from jupyter_sandbox_spawner.wires.tls import TlsFiles
from tests.programs.test_wires_certificates import launcher
from tests.programs.wires_street import HOSTS, Street, eventually, street

Control = Callable[[str, bool], None]
NAME = "launcher.sandbox.test"
FIRST, SECOND = "127.0.0.5", HOSTS["launcher"]


async def replica(road: Street, address: str) -> str:
    """Wires of a launcher at an address; the path of the socket that its launcher would serve."""
    certificates = road.root / "launcher-replicas"
    if not certificates.exists():
        road.certificates.make("launcher", NAME).rename(certificates)
    site = road.root / f"{address}.json"
    document = json.loads((road.root / "launcher.json").read_text())
    document |= {"run_dir": f"{road.root}/{address}", "listen_host": address}
    document["wires"]["certificates"] = str(certificates)
    site.write_text(json.dumps(document))
    road.module(f"wires-{address}", "wires", "--site", str(site), "--program", "launcher")
    log = f"wires-{address}"
    await eventually(lambda: "carry." in road.log(log), lambda: road.log(log))
    return f"{road.root}/{address}/launcher.sock"


@pytest.fixture
async def road(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    """A street on which one name has two addresses."""
    loop = asyncio.get_running_loop()
    ask = loop.getaddrinfo

    async def resolve(host: str, *rest: Any, **more: Any) -> Any:
        if host != NAME:
            return await ask(host, *rest, **more)
        return [found for address in (FIRST, SECOND) for found in await ask(address, *rest, **more)]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    async with street() as found:
        found.machine("launcher")
        yield found


@contextlib.asynccontextmanager
async def hub(road: Street) -> AsyncIterator[UnixClient]:
    """The hub's wire to the launcher, and a client at it."""
    files = TlsFiles(road.certificates.make("hub", "127.0.0.1"))
    far = Far(NAME, road.port, NAME, files.client_context)
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = f"{directory}/launcher.sock"
        outward = Outward("launcher", "launcher", far, files, Counts(asyncio.get_running_loop().time))
        task = asyncio.create_task(outward.serve(listening_socket(path)))
        try:
            async with UnixClient("launcher", path) as client:
                yield client
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_replica_that_works_is_found(road: Street, control: Control) -> None:
    """The first of two waits and has no socket; its caller gets the answer of the second."""
    await replica(road, FIRST)
    path = await replica(road, SECOND)
    async with hub(road) as client:
        with pytest.raises(UnreachableError):
            await client.call("GET", "/health")
        async with launcher(path):
            control("it answers once one works", await client.call("GET", "/health") == {"well": True})


async def test_another_replica_is_found_when_it_takes_over(road: Street) -> None:
    """When the one that worked has ended, the next question reaches the one that works now."""
    paths = [await replica(road, FIRST), await replica(road, SECOND)]
    async with hub(road) as client:
        for path in (*paths, *paths):
            async with launcher(path):
                assert await client.call("GET", "/health") == {"well": True}
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


async def test_a_machine_that_is_gone_is_passed_over(road: Street) -> None:
    """An address at which nobody listens any more costs nothing but a try."""
    path = await replica(road, SECOND)
    with socket.socket() as probe:
        assert probe.connect_ex((FIRST, road.port)) != 0
    async with hub(road) as client, launcher(path):
        assert await client.call("GET", "/health") == {"well": True}
