"""What is the smallest real container? The local backend's: a Python script as pid 1, in the user image."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.backends.docker.backend import DockerBackend
from jupyter_sandbox_spawner.backends.docker.host import DockerSite
from jupyter_sandbox_spawner.backends.given import GpuSource, NoGpus
from jupyter_sandbox_spawner.models import SandboxSpec
from jupyter_sandbox_spawner.settings import Environment
from tests.backends.tiny import OciBench

from .daemon import IMAGE, PREFIX, Daemon

__all__ = ["DockerBench", "container_cgroups", "open_bench"]


class DockerBench(OciBench):
    """Real containers whose doors, homes and records lie below a directory of the test."""

    def __init__(
        self, directory: Path, daemon: Daemon, shared: Mapping[str, str], gpus: GpuSource | None = None
    ) -> None:
        super().__init__(directory)
        self.daemon = daemon
        self.image = IMAGE
        self.docker_site = DockerSite(
            state=str(directory / "l"),
            inside=str(directory / "inside"),
            environments={"tiny": Environment(prefix=PREFIX, image=IMAGE)},
            socket=daemon.socket,
            shared=shared,
            gpus=gpus or NoGpus(),
        )

    def first_process(self, spec: SandboxSpec) -> int:
        """See OciBench.first_process."""
        return int(self.inspect(spec)["State"]["Pid"])

    def inspect(self, spec: SandboxSpec) -> dict[str, Any]:
        """What the daemon tells about a sandbox's container."""
        return self.inspect_named(f"jupyter-sandbox-spawner-{spec.id}")

    def inspect_named(self, name: str) -> dict[str, Any]:
        """What the daemon tells about any of its containers."""
        answer = self.daemon.ask("inspect", name)
        found: dict[str, Any] = json.loads(answer)[0]
        return found

    def containers(self) -> list[str]:
        """Names of all containers of the daemon."""
        return sorted(self.daemon.ask("ps", "--all", "--format", "{{.Names}}").split())


@asynccontextmanager
async def open_bench(
    directory: Path,
    daemon: Daemon,
    shared: Mapping[str, str] | None = None,
    gpus: GpuSource | None = None,
) -> AsyncIterator[DockerBench]:
    """The Docker backend on a directory of its own; every sandbox is removed afterwards, and that is seen.

    `shared`: directories of the host by the place where every container sees them; `gpus`: its devices.
    """
    bench = DockerBench(directory, daemon, shared or {}, gpus)
    async with DockerBackend.opened(bench.docker_site) as backend:
        bench.backend = backend
        try:
            yield bench
        finally:
            for item in await bench.backend.inventory():
                await bench.backend.remove(item.id)
    left = container_cgroups(daemon)
    deadline = time.monotonic() + 10
    while left and time.monotonic() < deadline:
        left = container_cgroups(daemon)
    assert not left


def container_cgroups(daemon: Daemon) -> list[str]:
    """Cgroups that belong to no container which the daemon still has."""
    alive = set(daemon.ask("ps", "--all", "--quiet", "--no-trunc").split())
    return [str(place) for place in daemon.cgroups("*") if place.name not in alive]
