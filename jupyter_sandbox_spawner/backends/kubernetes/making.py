"""What is made of one sandbox in the cluster, and is it what was asked for? Record, policy, pod.

Law: what can be half done is announced in the record first; a pod that nobody has judged does not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import BackendError
from ...wire import encode_json
from ..records import Record, without_ticket
from .check import check, judge_made
from .host import ClusterHost
from .layout import RECORD, Place, digest_of
from .objects import PodObjects
from .questions import Document
from .render import Manifest, merge, owned_by, render_pod, render_policy, render_secret

__all__ = ["PodMaking"]


class PodMaking:
    """Verbs: prepare, write, pod, judge. `now` gives the record as it is at that moment."""

    def __init__(self, host: ClusterHost, own: PodObjects, now: Callable[[], Record]) -> None:
        self._host = host
        self._api = host.api
        self._own = own
        self._now = now
        self._writing = asyncio.Lock()

    async def prepare(self) -> str:
        """Judge the pod, keep the record, close the network around it; the digest of what the link trusts."""
        record = self._now()
        place = self._host.place(record.spec)
        self._manifest(record, place)
        manifest = render_secret(record.spec, record.doors.ticket, place, _text(record))
        try:
            secret = await self._api.create("secrets", manifest)
        except BackendError as error:
            # An answer was lost, or another launcher was at it: the same sandbox, made again.
            if error.code != "kubernetes.conflict" or await self._own.find("secrets") is None:
                raise
            change = {"metadata": manifest["metadata"], "stringData": manifest["stringData"]}
            secret = _there(await self._api.patch("secrets", record.spec.id, change))
        policy = render_policy(record.spec, place.cluster, place.pods_port)
        await self._own.close(owned_by(policy, secret))
        return digest_of(place.authority)

    async def write(self) -> Document | None:
        """Keep the record as it is when its turn comes; its Secret, None where that is gone."""
        async with self._writing:
            record = self._now()
            change = {"metadata": {"annotations": {RECORD: _text(record)}}}
            return await self._api.patch("secrets", record.spec.id, change)

    async def pod(self) -> Document:
        """Make the pod, or find the one of an earlier try; nobody has judged it yet."""
        secret = self._own.ours("secrets", _there(await self.write()))
        record = self._now()
        return await self._own.add(
            "pods", owned_by(self._manifest(record, self._host.place(record.spec)), secret)
        )

    def judge(self, pod: Document) -> None:
        """What admission controllers and older clusters made of it. Raises IsolationError."""
        record = self._now()
        judge_made(pod, record.spec, self._host.place(record.spec))

    def _manifest(self, record: Record, place: Place) -> Manifest:
        manifest: Manifest = merge(render_pod(record.spec, place), record.overlay)
        check(manifest, record.spec, place)
        return manifest


def _there(secret: Document | None) -> Document:
    if secret is None:
        raise BackendError("The sandbox's record was removed.", code="sandbox.start_failed")
    return secret


def _text(record: Record) -> str:
    return encode_json(without_ticket(record)).decode()
