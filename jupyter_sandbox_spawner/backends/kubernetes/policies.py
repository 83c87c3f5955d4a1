"""Has each sandbox the policy that closes it? One that is deleted is made anew, one that differs put right.

Law: whoever runs keeps its own way out, and no other, for as long as it runs. That a policy is missed is told
by a watch; each time that has to begin anew, all of them are compared once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from ...errors import SandboxError
from ...rules.pod_canary import closes_alike, policy_digest
from ..base import is_over
from .host import ClusterHost
from .layout import POLICY
from .objects import PodObjects
from .questions import Document
from .render import Manifest, owned_by, render_policy
from .sandbox import PodSandbox

__all__ = ["PolicyKeeper"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
_PAUSES = (0.1, 5.0)  # seconds between tries to reach a cluster that is away: at first, at most


class PolicyKeeper:
    """`keep` goes on until it is cancelled. `sandboxes` gives those that the launcher knows now, by id."""

    def __init__(
        self, host: ClusterHost, selector: str, sandboxes: Callable[[], Mapping[str, PodSandbox]]
    ) -> None:
        self._host = host
        self._selector = selector
        self._sandboxes = sandboxes
        self._mending: dict[str, asyncio.Task[None]] = {}

    async def keep(self) -> None:
        """Hear of every change; what goes wrong is tried again."""
        try:
            await self._follow()
        finally:
            for task in self._mending.values():
                task.cancel()
            await asyncio.gather(*self._mending.values(), return_exceptions=True)

    async def _follow(self) -> None:
        pause = _PAUSES[0]
        while True:
            try:
                version = await self._compare()
                async for what, policy in self._host.api.watch("networkpolicies", self._selector, version):
                    pause = _PAUSES[0]
                    if what:
                        self._look(str(policy["metadata"]["name"]), None if what == "DELETED" else policy)
            except SandboxError as error:
                if pause == _PAUSES[0]:
                    log.warning("The sandboxes' own policies cannot be followed: %s", error)
            except Exception:  # whoever stops here leaves a sandbox without its policy
                log.exception("What the cluster told of a policy could not be read.")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])

    async def _compare(self) -> str:
        listing = await self._host.api.list("networkpolicies", self._selector)
        found = {str(item["metadata"]["name"]): item for item in listing.items}
        for name in list(self._sandboxes()):
            self._look(name, found.get(name))
        return listing.version

    def _look(self, name: str, policy: Document | None) -> None:
        sandbox = self._sandboxes().get(name)
        if sandbox is None or self._is_fine(policy, sandbox):
            return
        if name not in self._mending:
            task = self._mending[name] = asyncio.create_task(self._mend(sandbox))
            task.add_done_callback(lambda _: self._mending.pop(name, None))

    def _is_fine(self, policy: Document | None, sandbox: PodSandbox) -> bool:
        """One that has ended needs none, but keeps none that opens more than it did."""
        if policy is None:
            return is_over(sandbox.record.status)
        return closes_alike(policy, self._wanted(sandbox))

    def _wanted(self, sandbox: PodSandbox) -> Manifest:
        return render_policy(sandbox.record.spec, self._host.site.cluster, self._host.site.pods_port)

    async def _mend(self, sandbox: PodSandbox) -> None:
        """Not while a verb is at it, which may be making or erasing the very policy."""
        pause, said = _PAUSES[0], ""
        told: set[str] = set()
        while True:
            try:
                async with sandbox.lock:
                    await self._put_right(sandbox, told)
                return
            except SandboxError as error:
                if str(error) != said:
                    log.error("%s: its policy could not be put right: %s", sandbox.id, error)
                said = str(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])

    async def _put_right(self, sandbox: PodSandbox, told: set[str]) -> None:
        if self._sandboxes().get(sandbox.id) is not sandbox:
            return
        own = PodObjects(self._host, sandbox.id)
        secret = await own.find("secrets")
        found = await self._host.api.get("networkpolicies", sandbox.id)
        if secret is None:
            return
        lost = found is not None and not own.is_ours(found) and _goes_with(found, secret)
        if found is not None and not lost:
            own.ours("networkpolicies", found)
        wanted = self._wanted(sandbox)
        digest, given = policy_digest(wanted), _given(secret)
        if lost or not self._is_fine(found, sandbox):
            if found is not None or not told:  # else we took it away ourselves
                _tell(sandbox.id, found, given, told)
            if found is not None and policy_digest(found) in given and digest not in given:
                # Whoever finds it half done knows both for ours. One that somebody opened is closed first.
                await self._note(sandbox.id, *given, digest)
            # Whoever took its labels away hid it from the watch: it gets them back.
            await own.close(owned_by(wanted, secret), found)
        if given != (digest,):
            await self._note(sandbox.id, digest)

    async def _note(self, name: str, *digests: str) -> None:
        change = {"metadata": {"annotations": {POLICY: " ".join(digests)}}}
        await self._host.api.patch("secrets", name, change)


def _given(secret: Document) -> tuple[str, ...]:
    """The digests of the policies that it was given; a policy's own word would prove nothing."""
    return tuple(str((secret["metadata"].get("annotations") or {}).get(POLICY, "")).split())


def _tell(name: str, found: Document | None, given: tuple[str, ...], told: set[str]) -> None:
    """Each thing once, however often it has to be tried; `told` is what was."""
    loud = logging.CRITICAL
    if found is None:
        text = "was deleted by somebody else; it is made anew"
    elif not given:
        loud = logging.WARNING
        text = "is another than today's, and which it was given is not known; it is put right"
    elif policy_digest(found) in given:
        loud, text = logging.WARNING, "is of the site's earlier settings; it is put right"
    else:
        text = "says something else than was given to it: somebody changed it; it is put right"
    if text not in told:
        told.add(text)
        log.log(loud, "%s: its NetworkPolicy %s.", name, text)


def _goes_with(policy: Document, secret: Document) -> bool:
    owners = policy["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == secret["metadata"]["uid"] for owner in owners)
