"""Are sandboxes closed on this cluster, and on this node? Probes in pods try, again and again.

Law: no fresh proof, no start; and nothing is given to a sandbox on a node that has none. A policy may go
after a proof, so the namespace's own is looked at every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

from ..backends.kubernetes.api import Cluster
from ..errors import IsolationError, SandboxError
from ..rules.canary import Verdict
from ..rules.pod_canary import why_open
from ..rules.repeats import Repeats
from .cluster_probe import placement
from .cluster_prober import ClusterProber
from .proofs import Proof

__all__ = ["ClusterCanary"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
PERIOD = 120.0  # seconds between two proofs
FRESH = 3 * PERIOD  # seconds for which a proof counts
LOOK = 10.0  # seconds between two looks at the namespace's policies
_ASK_AGAIN = 10.0  # seconds after a failed proof, so that a repaired cluster is believed soon
_LAST_WORDS = 5.0  # seconds at the launcher's end
_AT_ONCE = 4  # probes


class ClusterCanary:
    """See Prover in premises.py. `nodes` are names of nodes that sandboxes run on."""

    def __init__(self, api: Cluster, prober: ClusterProber, runtimes: tuple[str, ...]) -> None:
        self._api = api
        self._prober = prober
        self._runtimes = runtimes
        self._where: dict[str, Any] = {}
        self._proofs: dict[tuple[str, str], tuple[float, Proof]] = {}
        self._open = "it has not been looked at yet"
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._repeats = Repeats()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[ClusterCanary]:
        """Sweep up earlier probes, then prove in the background for as long as this is open."""
        await self._prober.sweep()
        await self._look()
        jobs = [
            asyncio.create_task(self._again(PERIOD, self._prove_all), name="canary"),
            asyncio.create_task(self._again(LOOK, self._look), name="policies"),
        ]
        try:
            yield self
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs, timeout=_LAST_WORDS)

    @property
    def proofs(self) -> Mapping[str, Proof]:
        """By runtime: the worst of what its probes have shown, anywhere."""
        found: dict[str, Proof] = {}
        for runtime in self._runtimes:
            known = [proof for (name, _), (_, proof) in self._proofs.items() if name == runtime]
            if self._open:
                at = datetime.now(timezone.utc)
                known = [Proof(key="", verdict=Verdict(escapes=(self._open,)), at=at)]
            if known:
                found[runtime] = min(known, key=lambda proof: (proof.verdict.proved, proof.at))
        return found

    async def require(self, runtime: str, overlay: Mapping[str, Any]) -> None:
        """See Prover.require."""
        self._where = placement(overlay) or self._where
        if self._open:
            await self._look()
        if self._open:
            raise _unproved(self._open[0].upper() + self._open[1:] + ".", runtime)
        proof = await self._proof(runtime, "")
        if not proof.verdict.proved:
            raise _unproved(proof.verdict.why, runtime)

    async def require_at(self, sandbox_id: str) -> None:
        """See Prover.require_at; its pod runs, and has neither identity nor program yet."""
        pod = await self._api.get("pods", sandbox_id)
        node = str(((pod or {}).get("spec") or {}).get("nodeName") or "")
        runtime = self._prober.runtime_of(pod or {})
        if not node:
            raise _unproved("Nobody knows on which node it is.", runtime)
        proof = await self._proof(runtime, node)
        if not proof.verdict.proved:
            raise _unproved(f"{proof.verdict.why} That was on the node {node}.", runtime)

    async def prove(self) -> None:
        """See Prover.prove."""
        await self._look()
        await self._prove_all()

    async def _proof(self, runtime: str, node: str) -> Proof:
        """A fresh one; however many wait, one probe answers them all. Any node's counts for the cluster."""
        found = self._fresh(runtime, node)
        if found is not None:
            return found
        async with self._locks.setdefault((runtime, node), asyncio.Lock()):
            return self._fresh(runtime, node) or await self._probe(runtime, node)

    def _fresh(self, runtime: str, node: str) -> Proof | None:
        known = self._proofs.get((runtime, node))
        if known is None:
            return None
        at, proof = known
        age = time.monotonic() - at
        return proof if age < (FRESH if proof.verdict.proved else _ASK_AGAIN) else None

    async def _probe(self, runtime: str, node: str) -> Proof:
        async with self._few:
            shown = await self._prober.probe(runtime, node, self._where)
        known = self._fresh(runtime, node)
        if shown.untried and known is not None and known.verdict.proved:
            # A full cluster is no open one: the last proof counts for as long as it is fresh.
            log.warning("No probe could be made: %s", shown.verdict.why)
            return known
        proof = Proof(key=node, verdict=shown.verdict, at=datetime.now(timezone.utc))
        place = f"the node {node}" if node else "this cluster"
        if proof.verdict.proved:
            log.info("A probe has proved that sandboxes under %s are closed on %s.", runtime, place)
        else:
            log.critical("No sandbox is started under %s on %s: %s", runtime, place, proof.verdict.why)
        self._proofs[runtime, node] = time.monotonic(), proof
        if shown.node and not node:
            # It came to be somewhere, and has shown it of that node as well.
            self._proofs[runtime, shown.node] = self._proofs[runtime, ""]
        return proof

    async def _prove_all(self) -> None:
        nodes = await self._prober.nodes()
        self._forget_but(nodes)
        places = [(runtime, node) for runtime in self._runtimes for node in ("", *sorted(nodes))]
        await asyncio.gather(*(self._prove_at(*place) for place in places))

    async def _prove_at(self, runtime: str, node: str) -> None:
        async with self._locks.setdefault((runtime, node), asyncio.Lock()):
            await self._probe(runtime, node)

    def _forget_but(self, nodes: frozenset[str]) -> None:
        """A node that nobody uses is proved again when somebody comes there."""
        for key in [key for key in self._proofs if key[1] and key[1] not in nodes]:
            if time.monotonic() - self._proofs[key][0] > FRESH:
                del self._proofs[key]

    async def _look(self) -> None:
        try:
            policies = (await self._api.list("networkpolicies", "")).items
        except SandboxError as error:
            self._say(f"The namespace's policies cannot be seen: {error}")
            return  # proofs go on counting for as long as they are fresh
        now = why_open(policies, self._prober.way)
        if now and now != self._open:
            log.critical("No sandbox is started: %s.", now)
        if self._open and not now:
            log.info("The namespace of the sandboxes is closed by a policy.")
            self._proofs.clear()  # what was shown before it was open proves nothing
        self._open = now

    def _say(self, line: str) -> None:
        if self._repeats.due(line, time.monotonic()):
            log.error("%s", line)

    async def _again(self, seconds: float, act: Callable[[], Any]) -> None:
        while True:
            try:
                await act()
            except SandboxError as error:
                self._say(f"{error.code} {error}")
            except Exception:
                log.exception("The canary's turn failed; it goes on.")
            await asyncio.sleep(seconds)


def _unproved(why: str, runtime: str) -> IsolationError:
    return IsolationError(
        why,
        code="isolation.unproved",
        remedy=f"No server starts under {runtime}; tell your admin: jupyter-sandbox-admin canary",
    )
