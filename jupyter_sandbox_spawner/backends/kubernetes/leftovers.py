"""What does the cluster still have with our labels that the launcher does not know?

Law: only what carries the labels of this very installation is found, and only what is found is taken away; a
claim may hold files, so it is only told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from ...errors import BackendError
from ...leftovers import Leftover, LeftoverKind
from .host import ClusterHost
from .layout import SANDBOX_LABEL
from .questions import Kind

__all__ = ["ClusterLeftovers"]

_KINDS: Mapping[Kind, LeftoverKind] = {
    "pods": "pod",
    "networkpolicies": "network_policy",
    "secrets": "secret",
    "persistentvolumeclaims": "volume",
}


class ClusterLeftovers:
    """Two verbs: `find`, and `clear` of what was just found. `known`: the launcher's ids at this moment."""

    def __init__(self, host: ClusterHost, selector: str, known: Callable[[], Collection[str]]) -> None:
        self._api = host.api
        self._selector = selector
        self._known = known

    async def find(self) -> tuple[Leftover, ...]:
        """Pods, policies, Secrets and claims of sandboxes that nobody has. Raises BackendError where the
        cluster does not answer."""
        found = []
        for kind, name in _KINDS.items():
            listing = await self._api.list(kind, f"{self._selector},{SANDBOX_LABEL}", metadata_only=True)
            for item in listing.items:
                metadata = item["metadata"]
                since = datetime.fromisoformat(metadata["creationTimestamp"].replace("Z", "+00:00"))
                sandbox = str(metadata["labels"][SANDBOX_LABEL])
                found.append(Leftover(kind=name, name=metadata["name"], sandbox=sandbox, since=since))
        known = set(self._known())  # after the answers: what was made meanwhile is no leftover
        return tuple(item for item in found if item.sandbox not in known)

    async def clear(self, item: Leftover) -> None:
        """Take it away. Raises BackendError `kubernetes.pod_first` for a policy whose pod is still there."""
        if item.kind == "pod":
            await self._api.delete("pods", item.name, grace=1)
        elif item.kind == "network_policy":
            if await self._api.get("pods", item.name) is not None:
                raise BackendError(
                    f"The pod {item.name} is still there; its policy goes after it.",
                    code="kubernetes.pod_first",
                    remedy="Try again in a minute.",
                )
            await self._api.delete("networkpolicies", item.name)
        elif item.kind == "secret":
            await self._api.delete("secrets", item.name)
