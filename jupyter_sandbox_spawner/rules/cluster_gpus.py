"""Which GPUs may control give on a cluster? As many of each kind as the admin counts, and no more than the
ResourceQuota lets pods have. Pure.

Law: a device's id is `KIND/NUMBER`; control counts them, and the cluster chooses the very device.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..gpus import GpuDevice, GpuInventory
from ..kubernetes_site import KubernetesSite

__all__ = ["cluster_gpus", "quota_lines"]


def cluster_gpus(cluster: KubernetesSite, hard: Mapping[str, str]) -> GpuInventory:
    """The devices; `hard` is what the quota has (`requests.nvidia.com/gpu`: "8"), {} where there is none."""
    left = {
        resource: _whole(hard[f"requests.{resource}"])
        for resource in set(cluster.gpu_resource.values())
        if f"requests.{resource}" in hard
    }
    devices: list[GpuDevice] = []
    notes = [
        f"gpu_counts does not say how many {kind} there are: none is given."
        for kind in sorted(set(cluster.gpu_resource) - set(cluster.gpu_counts))
    ]
    for kind, count in cluster.gpu_counts.items():
        resource = cluster.gpu_resource[kind]
        given = min(count, left.get(resource, count))
        if given < count:
            quota = hard[f"requests.{resource}"]
            notes.append(
                f"gpu_counts has {count} of {kind}, and the ResourceQuota {cluster.quota} lets all pods have"
                f" {quota} of {resource}: {given} are given."
            )
        if resource in left:
            left[resource] -= given
        devices += [GpuDevice(id=f"{kind}/{number}", kind=kind) for number in range(1, given + 1)]
    return GpuInventory(devices=tuple(devices), notes=tuple(notes))


def quota_lines(document: Mapping[str, object]) -> tuple[dict[str, str], dict[str, str]]:
    """What a ResourceQuota allows and what is used of it."""
    status, spec = document.get("status"), document.get("spec")
    hard = (status.get("hard") if isinstance(status, Mapping) else None) or (
        spec.get("hard") if isinstance(spec, Mapping) else None
    )
    used = status.get("used") if isinstance(status, Mapping) else None
    return _texts(hard), _texts(used)


def _texts(found: object) -> dict[str, str]:
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, Mapping) else {}


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
