"""How is one real sandbox run without a hub? Launcher and gateway, one sandbox whose server is the probe."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
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

__all__ = ["PREFIX", "RELAY_PORT", "SOURCE_HOST", "House", "open_house", "scratch"]

PREFIX = "/user/bench/"
RELAY_PORT = 3128
SOURCE_HOST = "source.sandbox.internal"
_HOME = "/home/jovyan"


@dataclass(frozen=True)
class House:
    """A running sandbox: where the front answers for it, and the processes that carry its bytes."""

    front_port: int
    gateway: int
    relay: int


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
    """Start launcher, gateway and the sandbox; it may reach the source and nothing else."""
    if os.geteuid() != 0:
        raise BenchmarkError("This row starts a real sandbox, which needs root for now: sudo scripts/bench")
    site = _site(directory, source_port)
    write_site(directory / "site.json", site)
    async with AsyncExitStack() as stack:
        launcher, gateway = LauncherClient(site.launcher_socket), GatewayClient(site.gateway_socket)
        stack.push_async_callback(launcher.close)
        stack.push_async_callback(gateway.close)
        await _start(stack, directory, "launcher", site.launcher_socket)
        process = await _start(stack, directory, "gateway", site.gateway_socket)
        place = await launcher.place("bench")
        spec = _spec(place)
        opened = await gateway.open(spec.id, _entry(place, source_port))
        stack.push_async_callback(_end, launcher, gateway, spec.id)
        await launcher.create(spec, Doors(directory=opened.directory))
        await gateway.boot(spec.id, _document())
        await launcher.start(spec.id)
        if not await gateway.ready(spec.id, 30):
            raise BenchmarkError(f"The sandbox did not start:\n{await launcher.log_tail(spec.id)}")
        yield House(site.front_port, process, _first_process(spec.id))


def _site(directory: Path, source_port: int) -> Site:
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
        internal_services={f"{SOURCE_HOST}:{source_port}": f"{LOOPBACK}:{source_port}"}
        if source_port
        else {},
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


def _spec(place: UserPlace) -> SandboxSpec:
    return SandboxSpec(
        id=sandbox_id(place.user, "", secrets.token_hex(16)),
        user=place.user,
        server="",
        profile="bench",
        profile_digest="0",
        environment_name="default",
        host_uid=place.host_uid,
        resources=Resources(cpu=float(os.cpu_count() or 1), memory=1 << 30, pids=256),
        mounts=(Mount(kind="home", source=place.home, target=_HOME, read_only=False),),
    )


def _entry(place: UserPlace, source_port: int) -> GatewayEntry:
    allowed: Sequence[str] = [f"{SOURCE_HOST}:{source_port}"] if source_port else []
    # The rate of new connections is a limit of the product, not its speed.
    policy = EgressPolicy(rules=compile_rules(allowed, "egress"), new_connections_per_second=1e6)
    return GatewayEntry(user="bench", server="", prefix=PREFIX, host_uid=place.host_uid, egress=policy)


def _document() -> BootDocument:
    python = f"{(VENVS / 'user').resolve()}/bin/python"
    ingress = IngressPlan()
    return BootDocument(
        version=1,
        environment={"PATH": "/usr/bin:/bin", "HOME": _HOME},
        argv=(python, "-I", "-B", "-c", Path(probe.__file__).read_text(), str(ingress.port)),
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
