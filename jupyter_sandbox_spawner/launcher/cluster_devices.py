"""Which GPUs has the cluster for sandboxes? Counted ones; the ResourceQuota is asked how many at most.

Law: a quota that cannot be read gives nothing: what control admits must not fail at the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..backends.base import Backend
from ..backends.kubernetes.api import Cluster
from ..errors import SandboxError
from ..gpus import GpuInventory
from ..kubernetes_site import KubernetesSite
from ..models import SandboxSpec
from ..rules.cluster_gpus import cluster_gpus, quota_lines
from .admission import admit_gpus
from .gpus import holders

__all__ = ["ClusterDevices"]


class ClusterDevices:
    """See Devices in premises.py."""

    def __init__(self, api: Cluster, cluster: KubernetesSite) -> None:
        self._api = api
        self._cluster = cluster
        self._turn = asyncio.Lock()

    async def inventory(self, backend: Backend) -> GpuInventory:
        """See Devices.inventory."""
        if not self._cluster.gpu_resource:
            return GpuInventory(notes=("The site names no GPU of its cluster (gpu_resource).",))
        try:
            return cluster_gpus(self._cluster, await self._hard())
        except SandboxError as error:
            return GpuInventory(notes=(f"The ResourceQuota {self._cluster.quota} cannot be read: {error}",))

    @asynccontextmanager
    async def giving(self, spec: SandboxSpec, backend: Backend) -> AsyncIterator[None]:
        """See Devices.giving."""
        if not spec.gpu_devices:
            yield
            return
        async with self._turn:
            held = holders(await backend.inventory(), spec.id)
            admit_gpus(spec, await self.inventory(backend), held)
            yield

    async def _hard(self) -> dict[str, str]:
        if not self._cluster.quota:
            return {}
        found = await self._api.get("resourcequotas", self._cluster.quota)
        return quota_lines(found)[0] if found is not None else {}
