"""What does the daemon, and this host, still have with our labels that the launcher does not know?

Law: only what carries the labels of this very installation is found, and only what is found is taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timezone

from ...leftovers import Leftover
from ...names import LABEL_OWNER
from ..asides import Asides
from .host import DockerHost
from .layout import OWNER_LABEL, SANDBOX_LABEL, SITE_LABEL
from .remains import clear, erase_container

__all__ = ["DockerLeftovers"]


class DockerLeftovers:
    """Two verbs: `find`, and `clear` of what was just found. `known`: the launcher's ids at this moment."""

    def __init__(self, host: DockerHost, known: Callable[[], Collection[str]]) -> None:
        self._host = host
        self._known = known
        self._asides = Asides(host.records.directory)
        self._labels = (f"{OWNER_LABEL}={LABEL_OWNER}", f"{SITE_LABEL}={host.label}")

    async def find(self) -> tuple[Leftover, ...]:
        """Containers, networks, volumes and bundles. Raises BackendError where the daemon does not answer."""
        engine = self._host.engine
        containers = await engine.containers(*self._labels)
        networks, volumes = await engine.networks(*self._labels), await engine.volumes(*self._labels)
        known = set(self._known())  # after the answers: what was made meanwhile is no leftover
        found = [
            Leftover(
                kind="container",
                name=str(item["Id"]),
                sandbox=item["Labels"].get(SANDBOX_LABEL, ""),
                since=datetime.fromtimestamp(int(item["Created"]), timezone.utc),
                detail=" ".join(item.get("Names") or ()),
            )
            for item in containers
            if item["Labels"].get(SANDBOX_LABEL, "") not in known
        ]
        found += [
            Leftover(kind="network", name=str(item["Id"]), detail=str(item["Name"])) for item in networks
        ]
        found += [Leftover(kind="volume", name=str(item["Name"])) for item in volumes]
        return (*found, *self._asides.find(known))

    async def clear(self, item: Leftover) -> None:
        """Take it away; volumes are nobody's to erase but an admin's. Raises SandboxError, OSError."""
        if item.kind == "container":
            await erase_container(self._host.engine, item.name)
            await clear(self._host.cgroups, item.name, "")
        elif item.kind == "network":
            await self._host.engine.remove_network(item.name)
        else:
            self._asides.clear(item)
