"""What does a test of the gateway need? The real program and a relay that dials out to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.errors import UnreachableError
from jupyter_sandbox_spawner.models import (
    ApiLimits,
    BootDocument,
    EgressPolicy,
    GatewayEntry,
    IngressPlan,
    RelayPort,
)
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.settings import Site, write_site
from tests.programs.streams import shut

__all__ = [
    "GatewayHouse",
    "Relay",
    "boot_document",
    "entry",
    "free_port",
    "gateway_house",
]


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def entry(user: str = "ada", server: str = "", uid: int | None = None, **limits: float) -> GatewayEntry:
    """An entry whose doors belong to this process."""
    return GatewayEntry(
        user=user,
        server=server,
        prefix=f"/user/{user}/{server}/".replace("//", "/"),
        host_uid=os.geteuid() if uid is None else uid,
        egress=EgressPolicy(),
        limits=ApiLimits(**limits),  # type: ignore[arg-type]
    )


def boot_document(seconds: float = 60, **environment: str) -> BootDocument:
    """A small valid document."""
    return BootDocument(
        version=1,
        environment=environment,
        argv=("jupyterhub-singleuser",),
        working_directory="/home/jovyan",
        relay=(RelayPort(listen=8081, door="api"),),
        ingress=IngressPlan(),
        expires_at=datetime.now(timezone.utc) + timedelta(seconds=seconds),
    )


class GatewayHouse:
    """One gateway program with directories and a front port of its own; the front's socket is held here."""

    def __init__(
        self,
        *options: str,
        hub_port: int = 9,
        hard_files: int | None = None,
        internal: dict[str, str] | None = None,
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="gwt-", dir="/tmp").lower())
        self.root.mkdir(exist_ok=True)
        self._front = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.front_port: int = self._front.getsockname()[1]
        self.site = Site(
            run_dir=f"{self.root}/run",
            state_dir=f"{self.root}/state",
            profiles="",
            public_port=1,
            hub_port=hub_port,
            proxy_api_port=1,
            front_port=self.front_port,
            internal_services=internal or {},
        )
        write_site(self.root / "site.json", self.site)
        self._options = options
        self._hard_files = hard_files
        self.process: subprocess.Popen[bytes] | None = None
        self.client = GatewayClient(self.site.gateway_socket)

    async def start(self) -> None:
        """Start the program and wait until it answers."""
        command = [sys.executable, "-m", "jupyter_sandbox_spawner.gateway"]
        command += ["--site", str(self.root / "site.json"), "--front-fd", str(self._front.fileno())]
        if self._hard_files:
            command = ["prlimit", f"--nofile={self._hard_files}:{self._hard_files}", *command]
        self._launch([*command, *self._options])
        deadline = asyncio.get_running_loop().time() + 60  # a busy machine imports slowly
        while True:
            try:
                await self.client.health()
                return
            except UnreachableError:
                if (
                    self.process is None
                    or self.process.poll() is not None
                    or asyncio.get_running_loop().time() > deadline
                ):
                    raise AssertionError(self.log()) from None
                await asyncio.sleep(0.05)  # the program has no other sign than its socket

    def _launch(self, command: list[str]) -> None:
        with (self.root / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(command, pass_fds=[self._front.fileno()], stdout=log, stderr=log)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait for the program's end."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def log(self) -> str:
        """What the program has written."""
        return (self.root / "gateway.log").read_text()

    async def open(self, item: GatewayEntry, nonce: str = "1") -> tuple[str, str]:
        """Open doors; the sandbox's id and the directory."""
        name = sandbox_id(item.user, item.server, nonce)
        return name, (await self.client.open(name, item)).directory

    async def carries(self, sandbox: str, connections: int) -> None:
        """Wait until the gateway serves so many connections of a sandbox: it announces no change."""
        deadline = asyncio.get_running_loop().time() + 20
        while True:
            (found,) = [item for item in await self.client.inventory() if item.id == sandbox]
            if found.connections == connections:
                return
            assert asyncio.get_running_loop().time() < deadline, found
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """End everything and remove the directories."""
        await self.client.close()
        self.end(signal.SIGKILL)
        self._front.close()
        shutil.rmtree(self.root)


@contextlib.asynccontextmanager
async def gateway_house(
    *options: str,
    hub_port: int = 9,
    hard_files: int | None = None,
    internal: dict[str, str] | None = None,
) -> AsyncIterator[GatewayHouse]:
    """A running gateway for one test."""
    house = GatewayHouse(*options, hub_port=hub_port, hard_files=hard_files, internal=internal)
    try:
        await house.start()
        yield house
    finally:
        await house.close()


class Relay:
    """What the sandbox's pid 1 does for ingress: idle connections out, each piped to a port."""

    def __init__(self, directory: str, port: int, idle: int = 4) -> None:
        self._path = f"{directory}/ingress.sock"
        self._port = port
        self._idle = idle
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Relay:
        for _ in range(self._idle):
            self._spawn()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self) -> None:
        task = asyncio.create_task(self._slot())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _slot(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                await asyncio.sleep(0.05)  # the relay's back-off while a gateway restarts
                continue
            try:
                if await _marker(reader) == b"\x01":
                    self._spawn()
                    await self._pipe(reader, writer)
                    return
            finally:
                await shut(writer)
            await asyncio.sleep(0.05)  # as above

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [
            asyncio.create_task(_copy(reader, inner_writer)),
            asyncio.create_task(_copy(inner_reader, writer)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await shut(inner_writer)


async def _marker(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1)
    except OSError:
        return b""


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 18):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
