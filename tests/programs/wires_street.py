"""What does a test of the wires need? Certificates, sites of several machines, and the real programs.

Each machine is an address of the loopback network; its run_dir and state_dir are its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import trustme

from jupyter_sandbox_spawner.clients.pods import PodsClient
from jupyter_sandbox_spawner.errors import UnreachableError
from jupyter_sandbox_spawner.kubernetes_site import WiresSite
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.wires import digest
from jupyter_sandbox_spawner.settings import Site, write_site

__all__ = ["HOSTS", "Certificates", "Street", "eventually", "free_ports", "street", "talk"]

HOSTS = {"launcher": "127.0.0.2", "gateway": "127.0.0.3", "control": "127.0.0.4"}
GATEWAY_NAME = "gateway.sandbox.test"


async def eventually(ready: Callable[[], Any], what: Callable[[], str], seconds: float = 90) -> Any:
    """The first true answer of `ready`, which other processes' work decides."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = ready()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, what()
        await asyncio.sleep(0.02)  # nothing tells what other processes have done


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at any address of this machine now."""
    held = [socket.create_server(("0.0.0.0", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in held]
    for item in held:
        item.close()
    return ports


def _takes(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


class Certificates:
    """An authority and the directories of programs below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authority = trustme.CA()

    def make(
        self, program: str, *names: str, authority: trustme.CA | None = None, ends: datetime | None = None
    ) -> Path:
        """A directory for one program; signed by another authority or ended already, where asked for."""
        issued = (authority or self.authority).issue_cert(*names, common_name=program, not_after=ends)
        directory = Path(tempfile.mkdtemp(prefix=f"{program}-", dir=self.root))
        self.authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        issued.private_key_pem.write_to_path(str(directory / "key.pem"))
        (directory / "certificate.pem").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
        return directory

    def client(self, directory: Path | None = None) -> ssl.SSLContext:
        """How a stranger dials: with the certificate of a directory, or with none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        self.authority.configure_trust(context)
        if directory is not None:
            context.load_cert_chain(str(directory / "certificate.pem"), str(directory / "key.pem"))
        return context


class Street:
    """Some machines, their wires and other programs; everything ends with it."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wrt-", dir="/tmp").lower())
        self.root.mkdir(exist_ok=True)
        self.certificates = Certificates(self.root)
        self.port, self.pods_port, self.hub_port = free_ports(3)
        self._front = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.front_port: int = self._front.getsockname()[1]
        self.sites: dict[str, Site] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def machine(self, program: str, certificates: Path | None = None) -> Site:
        """The site as the machine of a program reads it."""
        if program not in self.sites or certificates is not None:
            own = HOSTS.get(program, "127.0.0.1")
            names = (own, GATEWAY_NAME) if program == "gateway" else (own,)
            wires = WiresSite(
                hosts=HOSTS,
                port=self.port,
                pods_port=self.pods_port,
                certificates=str(certificates or self.certificates.make(program, *names)),
            )
            self.sites[program] = Site(
                run_dir=f"{self.root}/{program[:3]}",
                state_dir=f"{self.root}/{program}-state",
                profiles="",
                public_port=1,
                hub_port=self.hub_port,
                proxy_api_port=1,
                front_port=self.front_port,
                listen_host=own,
                wires=wires,
            )
            write_site(self.root / f"{program}.json", self.sites[program])
        return self.sites[program]

    def change(self, program: str, **fields: Any) -> Site:
        """Another site for a machine whose programs do not run yet."""
        self.sites[program] = replace(self.machine(program), **fields)
        write_site(self.root / f"{program}.json", self.sites[program])
        return self.sites[program]

    def launch(self, name: str, *command: str, environment: dict[str, str] | None = None) -> None:
        """Start a process of this street; its output is in NAME.log."""
        with (self.root / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, pass_fds=[self._front.fileno()]
            )

    def module(self, name: str, module: str, *options: str) -> None:
        """Start a program of ours."""
        self.launch(name, sys.executable, "-m", f"jupyter_sandbox_spawner.{module}", *options)

    async def wires(self, program: str, *options: str) -> None:
        """Start the wires of a program and wait until they carry."""
        self.machine(program)
        site = str(self.root / f"{program}.json")
        self.module(f"wires-{program}", "wires", "--site", site, "--program", program, *options)
        before = self.log(f"wires-{program}").count("carry.")
        await eventually(
            lambda: self.log(f"wires-{program}").count("carry.") > before, lambda: self.log_of(program)
        )
        if program == "gateway":
            await eventually(self._pods_answer, lambda: self.log_of(program))

    async def gateway(self) -> None:
        """Start the real gateway on its machine."""
        site = self.machine("gateway")
        front = ("--front-fd", str(self._front.fileno()))
        self.module("gateway", "gateway", "--site", str(self.root / "gateway.json"), *front)
        await eventually(lambda: _takes(site.gateway_socket), lambda: self.log("gateway"))

    async def _pods_answer(self) -> bool:
        async with self.pods() as pods:
            try:
                return await pods.health()
            except UnreachableError:
                return False

    def pods(self) -> PodsClient:
        """The pods' API of the gateway's machine."""
        return PodsClient(self.machine("gateway").pods_socket)

    async def pod(self, server: str = "", address: str = "127.0.0.1") -> tuple[str, str]:
        """Register a pod at an address ("" none yet); its id and its ticket."""
        sandbox, ticket = sandbox_id("ada", server, secrets.token_hex(4)), secrets.token_urlsafe(32)
        async with self.pods() as pods:
            await pods.register(sandbox, digest(ticket))
            if address:
                await pods.address(sandbox, address)
        return sandbox, ticket

    def link(self, sandbox: str, ticket: str, uid: int | None = None) -> Path:
        """Start the link of a pod; the directory that is its volumes (`doors`, `inside`, `memory`)."""
        pod = self.root / sandbox[-6:]
        for name in ("doors", "inside", "secret", "memory"):
            (pod / name).mkdir(parents=True, exist_ok=True)
        self.certificates.authority.cert_pem.write_to_path(str(pod / "secret/ca.pem"))
        (pod / "secret/ticket").write_text(ticket)
        self.module(
            f"link-{sandbox}",
            "wires.link",
            *("--sandbox", sandbox, "--user-uid", str(os.geteuid() if uid is None else uid)),
            *("--gateway", GATEWAY_NAME, "--address", f"{HOSTS['gateway']}:{self.pods_port}"),
            *("--doors", f"{pod}/doors", "--inside", f"{pod}/inside"),
            *("--secret", f"{pod}/secret", "--memory", f"{pod}/memory"),
        )
        return pod

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End one process; its exit status."""
        process = self.running.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def log(self, name: str) -> str:
        """What a process has written."""
        path = self.root / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def log_of(self, program: str) -> str:
        """What a program's wires have written."""
        return self.log(f"wires-{program}")

    def close(self) -> None:
        """End everything."""
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
        self._front.close()
        shutil.rmtree(self.root)


async def talk(
    port: int, host: str, raw: bytes, context: ssl.SSLContext, source: str = "127.0.0.1"
) -> tuple[int, bytes]:
    """Send bytes over TLS and read to the end; the status of the answer, and all of it."""
    reader, writer = await asyncio.open_connection(host, port, ssl=context, local_addr=(source, 0))
    try:
        writer.write(raw)
        got = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.transport.abort()
    return int(got.split(b" ")[1]) if got else 0, got


@contextlib.asynccontextmanager
async def street() -> AsyncIterator[Street]:
    """A street for one test."""
    made = Street()
    try:
        yield made
    finally:
        made.close()
