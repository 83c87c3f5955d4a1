"""Which objects of the cluster are this sandbox's? Those of its id whose labels are ours, and no others."""

from __future__ import annotations

import asyncio
import base64
import contextlib

from ...errors import BackendError
from ...rules.pod_canary import closes_alike
from .host import ClusterHost
from .layout import TICKET, identity
from .questions import Document, Kind
from .render import Manifest

__all__ = ["PodObjects"]

_TRIES = 5  # to put a policy right that somebody else changes at the same moment
_LOOK = 1.0  # seconds between looks at an object that ought to be gone


class PodObjects:
    """Pod, NetworkPolicy and Secret of one sandbox; each has the sandbox's id as its name."""

    def __init__(self, host: ClusterHost, sandbox_id: str) -> None:
        self._api = host.api
        self._name = sandbox_id
        self._labels = identity(sandbox_id, host.label)

    async def find(self, kind: Kind) -> Document | None:
        """The object, if its labels are ours. Raises BackendError `kubernetes.foreign`."""
        found = await self._api.get(kind, self._name)
        return None if found is None else self.ours(kind, found)

    def ours(self, kind: Kind, found: Document) -> Document:
        """The same object, if its labels are ours. Raises BackendError `kubernetes.foreign`."""
        if not self.is_ours(found):
            raise BackendError(
                f"The cluster has another one's object {self._name}.",
                code="kubernetes.foreign",
                remedy=f"See who made it: kubectl -n {self._api.namespace} get {kind} {self._name} -o yaml",
            )
        return found

    def is_ours(self, found: Document) -> bool:
        """Are its labels ours?"""
        theirs = found["metadata"].get("labels") or {}
        return self._labels.items() <= theirs.items()

    async def add(self, kind: Kind, manifest: Manifest) -> Document:
        """Make it; where it is there already, it must be ours."""
        try:
            return await self._api.create(kind, manifest)
        except BackendError as error:
            found = await self.find(kind) if error.code == "kubernetes.conflict" else None
            if found is None:
                raise
            return found

    async def close(self, policy: Manifest, found: Document | None = None) -> None:
        """Make the NetworkPolicy; one that is there and closes otherwise becomes this one, in its place.

        `found` is one of this sandbox's, also where somebody took its labels away.
        """
        for _ in range(_TRIES):
            there = found or await self.add("networkpolicies", policy)
            if self.is_ours(there) and closes_alike(there, policy):
                return
            found = await self._put_right(there, policy)
        raise BackendError(
            f"The policy {self._name} is another one's and does not go.",
            code="kubernetes.foreign",
            remedy=f"See: kubectl -n {self._api.namespace} get networkpolicy {self._name} -o yaml",
        )

    async def _put_right(self, there: Document, policy: Manifest) -> Document | None:
        """There is no moment without a policy. None: look again."""
        metadata, ours = there["metadata"], policy["metadata"]
        labels = {**(metadata.get("labels") or {}), **ours["labels"]}
        metadata = {**metadata, "labels": labels, "ownerReferences": ours["ownerReferences"]}
        try:
            return await self._api.replace("networkpolicies", self._name, {**policy, "metadata": metadata})
        except BackendError as error:
            if error.code == "kubernetes.rbac":
                # A Role of an earlier version. What opens more may not stay; the common policy closes.
                await self._api.delete("networkpolicies", self._name, str(metadata["uid"]))
            elif error.code != "kubernetes.conflict":
                raise
            return None

    async def ticket(self) -> str:
        """What the sandbox's link shows the gateway once; "" where there is none any more."""
        secret = await self.find("secrets") or {}
        return base64.b64decode((secret.get("data") or {}).get(TICKET, "")).decode()

    async def erase(self, kind: Kind, seconds: float, gone: asyncio.Event | None = None) -> bool:
        """Delete it and see that it is gone; False where it is still there then.

        `gone` is set by whoever hears of it, so that nobody has to look.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        told = gone or asyncio.Event()
        while (found := await self.find(kind)) is not None:
            if asyncio.get_running_loop().time() > deadline:
                return False
            grace = 1 if kind == "pods" else None
            await self._api.delete(kind, self._name, str(found["metadata"]["uid"]), grace)
            if kind == "pods" or await self._api.get(kind, self._name) is not None:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(told.wait(), _LOOK)
        return True
