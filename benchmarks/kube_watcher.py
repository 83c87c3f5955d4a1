"""What does it cost to know 500 pods? Our launcher's backend, or kubespawner's reflector, in a process alone.

`python -m benchmarks.kube_watcher ours|reflector SITE`: SITE is KubernetesSite as JSON; the cluster is
KUBECONFIG's. A line of JSON for each line it reads: `open` (know all), `sweep` (ask anew), `cost` (so far).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from kubespawner.clients import load_config
from kubespawner.reflector import ResourceReflector

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.host import ClusterSite
from jupyter_sandbox_spawner.backends.kubernetes.layout import OWNER_LABEL
from jupyter_sandbox_spawner.names import LABEL_OWNER

from .crowd import pss
from .kube_sandboxes import cluster_site

__all__ = ["Known", "main"]

# How many run; and everything is asked for anew.
Known = tuple[Callable[[], Awaitable[int]], Callable[[], Awaitable[object]]]


@asynccontextmanager
async def _ours(site: ClusterSite) -> AsyncIterator[Known]:
    async with KubernetesBackend.opened(site) as backend:

        async def running() -> int:
            return sum(item.status.value == "running" for item in await backend.inventory())

        yield running, backend.leftovers


@asynccontextmanager
async def _reflector(site: ClusterSite) -> AsyncIterator[Known]:
    load_config()
    # As KubeSpawner makes its own, of the same pods.
    found = ResourceReflector(
        kind="pods", namespace=site.cluster.namespace, labels={OWNER_LABEL: LABEL_OWNER}
    )
    await found.start()

    async def running() -> int:
        return sum(pod["status"]["phase"] == "Running" for pod in found.resources.values())

    try:
        # Its regular way, by which nothing of what it has heard is used.
        yield running, found._list_and_update
    finally:
        await found.stop()


async def _serve(
    site: ClusterSite, open_: Callable[[ClusterSite], AbstractAsyncContextManager[Known]]
) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        known: Known | None = None
        while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            began, used, held = time.perf_counter(), time.process_time(), pss(os.getpid())
            if word == "open":
                known = await stack.enter_async_context(open_(site))
            elif word == "sweep" and known is not None:
                await known[1]()
            told = {
                "took": time.perf_counter() - began,
                "cpu": time.process_time() - used,
                "memory": pss(os.getpid()) - held,
                "all": time.process_time(),
                "running": await known[0]() if known is not None else 0,
            }
            print(json.dumps(told), flush=True)


def main() -> None:
    """Until its input ends."""
    logging.basicConfig(level=logging.WARNING)
    watch = {"ours": _ours, "reflector": _reflector}[sys.argv[1]]
    asyncio.run(_serve(cluster_site(sys.argv[2]), watch))


if __name__ == "__main__":
    main()
