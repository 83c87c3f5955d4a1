"""What does a test of verbs need? A pretended cluster with the backend on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.host import ClusterSite
from jupyter_sandbox_spawner.models import Doors, SandboxSpec
from tests.backends.kubernetes_facts import SPEC

from .pretend import PretendCluster

__all__ = ["DOORS", "Stage"]

DOORS = Doors(directory=f"/run/doors/{SPEC.id}", ticket="the-ticket-marks-it")


@dataclass
class Stage:
    """A pretended cluster, the backend on it, and the site by which another backend finds both."""

    cluster: PretendCluster
    site: ClusterSite
    backend: KubernetesBackend

    async def created(self, **changes: Any) -> SandboxSpec:
        """A sandbox that was created."""
        spec = replace(SPEC, **changes)
        await self.backend.create(spec, DOORS, {})
        return spec

    async def running(self) -> SandboxSpec:
        """A sandbox that runs."""
        spec = await self.created()
        await self.backend.start(spec.id)
        return spec

    async def status(self) -> tuple[str, str]:
        """What the backend says of it."""
        found = await self.backend.status(SPEC.id)
        assert found is not None
        return found.value, found.reason

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for it."""
        deadline = asyncio.get_running_loop().time() + 20
        while not true():
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
