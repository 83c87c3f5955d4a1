"""Does the cluster hold sandboxes? The launcher has asked it; it alone has rights there, so it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from ..clients.launcher import LauncherClient
from ..errors import SandboxError
from ..gpus import GpuInventory
from ..models import Capabilities
from ..settings import Site
from .finding import Finding

__all__ = ["cluster_findings", "programs_namespace"]

_PATIENCE = 10.0  # seconds


def programs_namespace(site: Site) -> str:
    """Where the site's programs are, as an admin's command names it."""
    return site.kubernetes.gateway_namespace if site.kubernetes is not None else "NAMESPACE"


def cluster_findings(site: Site) -> Iterator[Finding]:
    """Findings of a site whose sandboxes are pods; none for another."""
    if site.backend != "kubernetes":
        return
    space = programs_namespace(site)
    try:
        proof, capabilities, gpus = asyncio.run(_ask(site))
    except SandboxError as error:
        yield Finding(
            name="launcher",
            fine=False,
            seen=error.message,
            remedy=f"kubectl -n {space} get lease launcher; kubectl -n {space} logs -c launcher"
            " -l jupyter-sandbox-spawner/program=launcher",
        )
        return
    yield Finding(name="launcher", fine=True, seen=f"it answers; {_level(capabilities)}")
    for runtime, found in proof["runtimes"].items():
        yield Finding(
            name=f"isolation {runtime}",
            fine=bool(found["proved"]),
            seen=f"proved at {found['at']}" if found["proved"] else str(found["why"]),
            remedy="No server starts until it is closed: see docs/how-to/run-on-kubernetes.md, then:"
            " jupyter-sandbox-admin canary",
        )
    for text in capabilities.missing:
        yield Finding(name="cluster", fine=False, needed=False, seen=text, remedy="See the sentence itself.")
    for name, why in capabilities.refused.items():
        yield Finding(name=f"runtime {name}", fine=False, seen=why, remedy="Add it to runtime_classes.")
    yield from _gpus(site, gpus)


async def _ask(site: Site) -> tuple[Any, Capabilities, GpuInventory]:
    async with LauncherClient(site.launcher_socket, _PATIENCE) as launcher:
        return await launcher.canary(), await launcher.capabilities(), await launcher.gpus()


def _level(capabilities: Capabilities) -> str:
    names = ", ".join(sorted(set(capabilities.runtimes.values())))
    return f"{capabilities.level} isolation on {names}"


def _gpus(site: Site, gpus: GpuInventory) -> Iterator[Finding]:
    if site.kubernetes is None or not site.kubernetes.gpu_resource:
        return
    kinds = sorted({device.kind for device in gpus.devices})
    counts = [f"{sum(device.kind == kind for device in gpus.devices)} of {kind}" for kind in kinds]
    yield Finding(name="GPUs", fine=bool(kinds), needed=False, seen=", ".join(counts) or "none is given")
    for note in gpus.notes:
        yield Finding(
            name="GPUs", fine=False, needed=False, seen=note, remedy="Change gpu_counts or the quota."
        )
