"""On which cluster are pods compared? A real one of this machine, with one node, gone with the block."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hub_config.demo.running import CHECKOUT
from hub_config.kubernetes.cluster.own_cluster import ClusterError, OwnCluster, unfit

from .row import BenchmarkError

__all__ = ["RESTRICTED", "give_images", "make_namespaces", "open_cluster"]

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_PATIENCE = 60.0  # seconds
_BUILD = CHECKOUT / "hub_config/kubernetes/build-images"


@asynccontextmanager
async def open_cluster(directory: Path, node: bool = True) -> AsyncIterator[OwnCluster]:
    """Its programs below `directory`; without a node nobody runs pods. Raises BenchmarkError."""
    if reason := unfit():
        raise BenchmarkError(f"This row starts a Kubernetes: {reason}")
    cluster = OwnCluster(directory / "k8s")
    try:
        await asyncio.to_thread(cluster.up, node, tied=True)
        yield cluster
    except ClusterError as error:
        raise BenchmarkError(f"The cluster: {error}") from error
    finally:
        await asyncio.to_thread(cluster.down)


async def give_images(cluster: OwnCluster, names: Sequence[str]) -> Mapping[str, str]:
    """Build these images of hub_config/kubernetes/build-images, or take them as they were built, and give
    the node each; the full name of each."""
    built = await asyncio.to_thread(_build, names)
    if built.returncode:
        raise BenchmarkError(f"The images cannot be built: {built.stderr[-2000:]}")
    found = {}
    for name, line in zip(names, built.stdout.splitlines(), strict=True):
        found[name], file = line.split()
        await asyncio.to_thread(cluster.import_image, Path(file))
    return found


def _build(names: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_BUILD, *names], capture_output=True, text=True, check=False)


async def make_namespaces(cluster: OwnCluster, names: Mapping[str, Mapping[str, str]]) -> None:
    """Namespaces by name, each with its labels; pods are refused until an account is there."""
    spaces: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}
        for name, labels in names.items()
    ]
    await asyncio.to_thread(cluster.apply, *spaces)
    for name in names:
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        end = time.monotonic() + _PATIENCE
        while not await asyncio.to_thread(cluster.api.finds, account):
            if time.monotonic() > end:
                raise BenchmarkError(f"The namespace {name} gets no account.")
            await asyncio.sleep(0.05)  # a controller makes it, and tells nobody
