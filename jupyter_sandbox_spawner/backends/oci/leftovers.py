"""What does this host still have of sandboxes of the local backend that the launcher does not know?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timezone

from ...leftovers import Leftover, LeftoverKind
from ...names import LABEL_OWNER, is_sandbox_id
from ..asides import Asides
from .host import OciHost

__all__ = ["OciLeftovers"]


class OciLeftovers:
    """Two verbs: `find`, and `clear` of what was just found. `known`: the launcher's ids at this moment."""

    def __init__(self, host: OciHost, known: Callable[[], Collection[str]]) -> None:
        self._host = host
        self._known = known
        self._asides = Asides(host.records.directory)

    async def find(self) -> tuple[Leftover, ...]:
        """Cgroups, the runtimes' own state, mounts and bundles."""
        cgroups = await asyncio.to_thread(self._cgroups)
        known = set(self._known())  # after the walk: what was made meanwhile is no leftover
        states = [
            Leftover(kind="runtime_state", name=f"{runtime.program}.{name}", sandbox=name)
            for runtime in self._host.runtimes
            for name in runtime.ids()
            if name not in known
        ]
        return (*(item for item in cgroups if item.sandbox not in known), *states, *self._asides.find(known))

    async def clear(self, item: Leftover) -> None:
        """Take it away. Raises SandboxError, OSError."""
        if item.kind in ("cgroup", "processes"):
            await self._host.cgroups.remove(self._host.cgroup_name(item.sandbox))
        elif item.kind == "runtime_state":
            program = item.name.removesuffix(f".{item.sandbox}")
            await self._host.erase(self._host.runtimes.find(program), item.sandbox)
        else:
            self._asides.clear(item)

    def _cgroups(self) -> list[Leftover]:
        cgroups, found = self._host.cgroups, []
        for name in sorted(cgroups.find(f"{LABEL_OWNER}-sb-")):
            sandbox = name.rpartition("/")[2].removeprefix(f"{LABEL_OWNER}-")
            own = self._host.cgroup_name(sandbox)
            made = cgroups.made(own)
            # One that lies elsewhere is inside of a container, or of another installation's tree.
            if not is_sandbox_id(sandbox) or cgroups.path(own).lstrip("/") != name or made is None:
                continue
            since = datetime.fromtimestamp(made, timezone.utc)
            kind: LeftoverKind = "processes" if cgroups.processes(own) else "cgroup"
            found.append(Leftover(kind=kind, name=sandbox, sandbox=sandbox, since=since, detail=name))
        return found
