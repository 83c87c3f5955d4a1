"""How are real sandboxes run without a hub? Launcher and gateway; the server of each is a given script."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hub_config.demo.running import CHECKOUT, VENVS
from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.models import (
    BootDocument,
    Doors,
    EgressPolicy,
    GatewayEntry,
    IngressPlan,
    Mount,
    RelayPort,
    Resources,
    SandboxSpec,
    UserPlace,
)
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.egress_rules import compile_rules
from jupyter_sandbox_spawner.settings import Environment, Site, write_site

from . import probe
from .machine import LOOPBACK, free_port, program, until_it_listens
from .row import BenchmarkError

__all__ = ["PREFIX", "RELAY_PORT", "SOURCE_HOST", "House", "Tenant", "open_house", "open_houses", "scratch"]

PREFIX = "/user/bench/"
RELAY_PORT = 3128
SOURCE_HOST = "source.sandbox.internal"
_HOME = "/home/jovyan"


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """Who lives in one sandbox: `script` is its server, `cpu` its limit in cores.

    `per_second` caps its new connections through the egress door: a limit of the product, not its speed.
    """

    user: str = "bench"
    script: str = probe.__file__
    cpu: float = float(os.cpu_count() or 1)
    per_second: float = 1e6

    @property
    def prefix(self) -> str:
        """Its path at the front."""
        return f"/user/{self.user}/"


@dataclass(frozen=True)
class House:
    """A running sandbox: where the front answers for it, and the processes that carry its bytes."""

    front_port: int
    gateway: int
    relay: int
    prefix: str

    @property
    def url(self) -> str:
        """What the sandbox's own server answers."""
        return f"http://{LOOPBACK}:{self.front_port}{self.prefix}"


@asynccontextmanager
async def scratch() -> AsyncIterator[Path]:
    """A short private directory, removed afterwards."""
    made = tempfile.mkdtemp(prefix="jsb-", dir="/tmp")
    try:
        yield _lower(made)
    finally:
        shutil.rmtree(made.lower(), ignore_errors=True)


def _lower(made: str) -> Path:
    """Sockets' directories are written in lower case; the system's name may not be."""
    os.rename(made, made.lower())
    return Path(made.lower())


@asynccontextmanager
async def open_house(directory: Path, source_port: int = 0) -> AsyncIterator[House]:
    """Start launcher, gateway and one sandbox; it may reach the source and nothing else."""
    async with open_houses(directory, {source_port: source_port} if source_port else {}, [Tenant()]) as found:
        yield found[0]


@asynccontextmanager
async def open_houses(
    directory: Path, services: Mapping[int, int], tenants: Sequence[Tenant]
) -> AsyncIterator[list[House]]:
    """Start launcher, gateway and the sandboxes: they may reach SOURCE_HOST at the ports of `services` alone.

    `services` maps such a port to the loopback port that answers for it.
    """
    if os.geteuid() != 0:
        raise BenchmarkError("This row starts a real sandbox, which needs root for now: sudo scripts/bench")
    site = _site(directory, services)
    write_site(directory / "site.json", site)
    async with AsyncExitStack() as stack:
        launcher, gateway = LauncherClient(site.launcher_socket), GatewayClient(site.gateway_socket)
        stack.push_async_callback(launcher.close)
        stack.push_async_callback(gateway.close)
        await _start(stack, directory, "launcher", site.launcher_socket)
        process = await _start(stack, directory, "gateway", site.gateway_socket)
        found = []
        for tenant in tenants:
            relay = await _move_in(stack, (launcher, gateway), tenant, services)
            found.append(House(site.front_port, process, relay, tenant.prefix))
        yield found


async def _move_in(
    stack: AsyncExitStack,
    clients: tuple[LauncherClient, GatewayClient],
    tenant: Tenant,
    services: Mapping[int, int],
) -> int:
    """Start one sandbox, to be ended with the stack; the number of its relay's process."""
    launcher, gateway = clients
    place = await launcher.place(tenant.user)
    spec = _spec(place, tenant)
    opened = await gateway.open(spec.id, _entry(place, tenant, services))
    stack.push_async_callback(_end, launcher, gateway, spec.id)
    await launcher.create(spec, Doors(directory=opened.directory))
    await gateway.boot(spec.id, _document(tenant))
    await launcher.start(spec.id)
    if not await gateway.ready(spec.id, 30):
        raise BenchmarkError(f"The sandbox did not start:\n{await launcher.log_tail(spec.id)}")
    return _first_process(spec.id)


def _site(directory: Path, services: Mapping[int, int]) -> Site:
    (directory / "run").mkdir(mode=0o700)
    return Site(
        run_dir=str(directory / "run"),
        state_dir=str(directory / "state"),
        profiles="",
        public_port=0,
        hub_port=0,
        proxy_api_port=0,
        front_port=free_port(),
        environments={"default": Environment(prefix=str((VENVS / "user").resolve()))},
        internal_services={f"{SOURCE_HOST}:{port}": f"{LOOPBACK}:{to}" for port, to in services.items()},
    )


async def _start(stack: AsyncExitStack, directory: Path, name: str, socket: str) -> int:
    command = [
        sys.executable,
        "-m",
        f"jupyter_sandbox_spawner.{name}",
        "--site",
        str(directory / "site.json"),
    ]
    log = directory / f"{name}.log"
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    process = await stack.enter_async_context(program(command, log, environment))
    await until_it_listens(socket, process, log)
    return process.pid


def _spec(place: UserPlace, tenant: Tenant) -> SandboxSpec:
    return SandboxSpec(
        id=sandbox_id(place.user, "", secrets.token_hex(16)),
        user=place.user,
        server="",
        profile="bench",
        profile_digest="0",
        environment_name="default",
        host_uid=place.host_uid,
        resources=Resources(cpu=tenant.cpu, memory=1 << 30, pids=256),
        mounts=(Mount(kind="home", source=place.home, target=_HOME, read_only=False),),
    )


def _entry(place: UserPlace, tenant: Tenant, services: Mapping[int, int]) -> GatewayEntry:
    rules = compile_rules([f"{SOURCE_HOST}:{port}" for port in services], "egress")
    policy = EgressPolicy(rules=rules, new_connections_per_second=tenant.per_second)
    return GatewayEntry(
        user=tenant.user, server="", prefix=tenant.prefix, host_uid=place.host_uid, egress=policy
    )


def _document(tenant: Tenant) -> BootDocument:
    python = f"{(VENVS / 'user').resolve()}/bin/python"
    ingress = IngressPlan()
    return BootDocument(
        version=1,
        environment={"PATH": "/usr/bin:/bin", "HOME": _HOME},
        argv=(python, "-I", "-B", "-c", Path(tenant.script).read_text(), str(ingress.port)),
        working_directory=_HOME,
        relay=(RelayPort(listen=RELAY_PORT, door="egress"),),
        ingress=ingress,
        expires_at=datetime.now(timezone.utc) + timedelta(seconds=120),
    )


def _first_process(identifier: str) -> int:
    """The sandbox's pid 1, which is its relay, as the host numbers it."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            inside = (place / "status").read_text().partition("NSpid:")[2].partition("\n")[0].split()
            if len(inside) > 1 and inside[-1] == "1" and identifier in (place / "mountinfo").read_text():
                return int(place.name)
        except OSError:
            continue  # it ended while we looked
    raise BenchmarkError(f"The first process of {identifier} is not there.")


async def _end(launcher: LauncherClient, gateway: GatewayClient, identifier: str) -> None:
    await launcher.stop(identifier, 0)
    await launcher.remove(identifier)
    await gateway.close_sandbox(identifier)
