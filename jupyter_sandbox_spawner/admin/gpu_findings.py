"""Which GPUs could sandboxes of this site be given, and how? Looks only; a host without any is fine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..gpus import GpuInventory
from ..launcher.gpus import HostGpus
from ..settings import Site
from .finding import Finding

__all__ = ["docker_way", "gpu_findings"]

_MORE = "See docs/how-to/give-gpus.md."


def gpu_findings(site: Site, read_by_daemon: Sequence[str] = ()) -> Iterator[Finding]:
    """What can be given, and what cannot; of directories that Docker reads itself everything can."""
    found = HostGpus(site.cdi_directories).survey(read_by_daemon)
    if not found.devices and len(found.notes) == 1:
        yield Finding(name="gpus", fine=True, seen=f"none: {found.notes[0]}", needed=False)
        return
    yield Finding(name="gpus", fine=bool(found.devices), seen=_listed(found), remedy=_MORE, needed=False)
    for note in found.notes:
        yield Finding(name="gpus not given", fine=False, seen=note, remedy=_MORE, needed=False)


def docker_way(info: dict[str, Any]) -> Finding:
    """How this daemon would be asked for devices."""
    directories, runtimes = info.get("CDISpecDirs") or [], info.get("Runtimes") or {}
    if directories:
        seen = f"Docker reads CDI specs itself, in {', '.join(directories)}"
    elif "nvidia" in runtimes:
        seen = "by NVIDIA's container runtime, by UUID"
    else:
        seen = "by device nodes; specs with hooks need Docker 25 or newer"
    return Finding(name="docker gpus", fine=True, seen=seen, needed=False)


def _listed(found: GpuInventory) -> str:
    kinds = sorted({device.kind for device in found.devices})
    return f"{len(found.devices)} ({', '.join(kinds)})" if kinds else "none that can be given"
