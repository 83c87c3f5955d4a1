"""How do many sandboxes come to be on a cluster? Started by our own backend, which then goes; they stay.

`python -m benchmarks.kube_sandboxes SITE COUNT`: SITE is KubernetesSite's fields as JSON; the cluster is
KUBECONFIG's, with a claim `homes` in the namespace.
"""

from __future__ import annotations

import asyncio
import sys

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.host import ClusterSite
from jupyter_sandbox_spawner.kubernetes_site import KubernetesSite
from jupyter_sandbox_spawner.models import Doors, Mount, Resources, SandboxSpec
from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.settings import Environment
from jupyter_sandbox_spawner.wire import decode_json

__all__ = ["cluster_site", "main"]

_AT_ONCE = 20


def cluster_site(text: str) -> ClusterSite:
    """What a launcher would be told."""
    return ClusterSite(
        cluster=decode_json(KubernetesSite, text.encode()),
        pods_port=8444,
        environments={"default": Environment(prefix="/opt/none", image="none")},
    )


async def _start(site: ClusterSite, count: int) -> None:
    few = asyncio.Semaphore(_AT_ONCE)
    async with KubernetesBackend.opened(site) as backend:

        async def start(number: int) -> None:
            spec = _spec(number)
            async with few:
                await backend.create(spec, Doors(directory=f"/run/{spec.id}", ticket="t" * 43), {})
                await backend.start(spec.id)

        await asyncio.gather(*map(start, range(count)))


def _spec(number: int) -> SandboxSpec:
    user = f"u{number}"
    return SandboxSpec(
        id=sandbox_id(user, "", str(number)),
        user=user,
        server="",
        profile="bench",
        profile_digest="0",
        environment_name="default",
        host_uid=10_001 + number,
        resources=Resources(cpu=1, memory=1 << 30, pids=256),
        mounts=(Mount(kind="home", source=f"homes/{user}", target="/home/jovyan", read_only=False),),
    )


def main() -> None:
    """Returns when all run."""
    asyncio.run(_start(cluster_site(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
