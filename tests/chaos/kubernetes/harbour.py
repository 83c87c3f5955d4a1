"""Who works here while things break? Twenty people whose pages tick, and a hub; nothing may be left over."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from jupyter_sandbox_spawner.backends.kubernetes.layout import SANDBOX_LABEL
from jupyter_sandbox_spawner.clients.control import AdmissionRequest, ProfileTerms
from jupyter_sandbox_spawner.clients.gateway import entry_of
from jupyter_sandbox_spawner.errors import ProgramError, SandboxError
from jupyter_sandbox_spawner.hub.lifecycle import Lifecycle
from jupyter_sandbox_spawner.hub.planning import Furniture, StartPlan
from jupyter_sandbox_spawner.launcher.cluster_probe import PROBE_LABEL
from jupyter_sandbox_spawner.models import (
    BootDocument,
    IngressPlan,
    Mount,
    RelayPort,
    Resources,
    SandboxSpec,
    UserPlace,
)
from jupyter_sandbox_spawner.names import sandbox_id
from tests.chaos.hub_desk import Desk, Seat
from tests.programs.control_neighbours import HubWithServers

from .images import PREFIX
from .quay import Quay
from .session import PORT, SERVER, Session

__all__ = ["PEOPLE", "Harbour", "words_of"]

PEOPLE = 20
_LOOK = 0.5


class PodDesk(Desk):
    """The hub, whose servers are pods that answer."""

    lifecycle = Lifecycle

    def plan(self, seat: Seat, place: UserPlace) -> StartPlan:
        """See Desk.plan."""
        spec = SandboxSpec(
            id=sandbox_id(seat.user, seat.server, os.urandom(8).hex()),
            user=seat.user,
            server=seat.server,
            profile="cpu-small",
            profile_digest="d1",
            environment_name="user",
            host_uid=place.host_uid,
            door_uid=self.site.carrier_uid,
            resources=Resources(cpu=0.06, memory=96 << 20, pids=32, tmpfs=8 << 20, tmpfs_inodes=500),
            mounts=(Mount(kind="home", source=place.home, target="/home/jovyan", read_only=False),),
            ttl=86_400,
        )

        async def furnish(admitted: SandboxSpec) -> Furniture:
            prefix = path_of(seat)
            return Furniture(spec=replace(admitted), entry=entry_of(admitted, prefix), document=_document())

        request = AdmissionRequest(spec=spec, terms=ProfileTerms(slug="cpu-small", digest="d1"))
        return StartPlan(request=request, furnish=furnish, began=time.monotonic(), limit=240.0)


def path_of(seat: Seat) -> str:
    """Where its pages are."""
    return f"/user/{seat.user}/{seat.server}/" if seat.server else f"/user/{seat.user}/"


def _document() -> BootDocument:
    return BootDocument(
        version=1,
        environment={"PATH": "/usr/bin:/bin"},
        argv=(f"{PREFIX}/bin/python", "-I", "-S", "-c", SERVER, str(PORT)),
        working_directory="/",
        relay=(RelayPort(listen=3128, door="egress"), RelayPort(listen=8081, door="api")),
        ingress=IngressPlan(port=PORT, idle_connections=2),
        expires_at=datetime.now(timezone.utc) + timedelta(hours=1),
    )


class Harbour:
    """`seats` are the twenty; `spare` are servers that a test starts and ends again."""

    def __init__(self, quay: Quay, api: HubWithServers) -> None:
        self.quay = quay
        self.seats = [Seat(user=f"user-{number}", server="") for number in range(PEOPLE)]
        self.spare = [Seat(user=f"spare-{number}", server="") for number in range(4)]
        self.desk = PodDesk(quay.site, api, [*self.seats, *self.spare])
        self.sessions: dict[str, Session] = {}
        self._used = 0

    async def fill(self) -> float:
        """All twenty start, and their pages tick; in how many seconds."""
        began = time.monotonic()
        gate = asyncio.Semaphore(5)

        async def one(seat: Seat) -> None:
            async with gate:
                await self.start(seat)

        await asyncio.gather(*(one(seat) for seat in self.seats))
        for seat in self.seats:
            self.sessions[seat.user] = session = self.page(seat)
            session.open()
        await asyncio.gather(*(session.next(60) for session in self.sessions.values()))
        return time.monotonic() - began

    def page(self, seat: Seat) -> Session:
        """A page of a server, not opened yet."""
        return Session(self.quay.site.host_of("gateway"), self.quay.site.front_port, path_of(seat))

    async def start(self, seat: Seat) -> None:
        """A start that has to go well."""
        assert await self.try_start(seat) == ""

    async def try_start(self, seat: Seat) -> str:
        """A start: "" where it went well, else the sentence that its user reads, with its code."""
        self.desk.refusals.pop(seat.key, None)
        await self.desk.start(seat)
        error = self.desk.refusals.get(seat.key)
        return "" if error is None else f"{getattr(error, 'code', '')}: {error}"

    async def begin(self, seat: Seat) -> asyncio.Task[str]:
        """A start that is under way: the launcher knows its sandbox."""
        task = asyncio.create_task(self.try_start(seat))

        async def known() -> bool:
            return task.done() or seat.sandbox in {item.id for item in await self.quay.launcher.inventory()}

        await self.until(known, 60)
        return task

    async def waits_for(self, seat: Seat, seconds: float) -> str:
        """The sentence that its user reads while it waits."""
        found = ""

        async def told() -> bool:
            nonlocal found
            status = await self.quay.launcher.status(seat.sandbox) if seat.sandbox else None
            found = status.reason if status is not None else ""
            return bool(found)

        await self.until(told, seconds)
        return found

    async def metric(self, value: int, seconds: float) -> None:
        """Until the launcher's metric says that isolation is proved (1), or that it is not (0)."""

        async def says() -> bool:
            async with self.quay.launcher.session().get("/metrics") as answer:
                return f'isolation_proved{{runtime="runc"}} {value}' in await answer.text()

        await self.until(says, seconds)

    async def until(self, true: Callable[[], Any], seconds: float) -> None:
        """Wait for what other processes do."""
        end = time.monotonic() + seconds
        while True:
            found = true()
            if await found if asyncio.iscoroutine(found) else found:
                return
            assert time.monotonic() < end, "it did not happen"
            await asyncio.sleep(0.05)

    def take(self) -> Seat:
        """A spare server that does not run."""
        self._used += 1
        return self.spare[self._used % len(self.spare)]

    async def stop(self, *seats: Seat) -> None:
        """They are stopped, each until it is."""
        for seat in seats:
            await self.desk.stop(seat)
            assert not seat.sandbox, self.desk.seen

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[dict[str, Session]]:
        """What happens to the twenty pages in this block; afterwards each has the server that it had."""
        before = {user: set(session.words) for user, session in self.sessions.items()}
        for session in self.sessions.values():
            session.begin()
        yield self.sessions
        await asyncio.gather(*(session.next(60) for session in self.sessions.values()))
        assert {user: session.words for user, session in self.sessions.items()} == before

    async def disagreement(self) -> str:
        """What differs or was left over now; "" when all is well."""
        quay = self.quay
        running = {item.id: (item.user, item.server) for item in await quay.launcher.inventory()}
        lists = {
            "hub": sorted(self.desk.api.servers),
            "control": sorted(
                (item["user"], item["server"]) for item in (await quay.control.sandboxes())["items"]
            ),
            "launcher": sorted(running.values()),
            "gateway": sorted((item.user, item.server) for item in await quay.gateway.inventory()),
            "wires": sorted(running.get(item, (item, "?")) for item in await quay.pods.inventory()),
        }
        if len({tuple(names) for names in lists.values()}) > 1:
            return f"the inventories differ: {lists}"
        found = await quay.control.reconcile(False)
        left = found["leftovers"]
        if found["due"] or found["waiting"] or found["silent"] or left["due"] or left["waiting"]:
            return f"control has something to mend: {found}"
        for kind in ("pods", "secrets", "networkpolicies"):
            names = await asyncio.to_thread(self._labelled, kind, SANDBOX_LABEL)
            if names != set(running):
                return f"{kind} of the cluster: {sorted(names)}, running: {sorted(running)}"
        probes = await asyncio.to_thread(self._labelled, "pods", PROBE_LABEL)
        return await asyncio.to_thread(self._on_the_node, {*running, *probes})

    def _labelled(self, kind: str, label: str) -> set[str]:
        found = self.quay.cluster.get(kind, "-n", self.quay.namespace, "-l", label)
        return {str(item["metadata"]["name"]) for item in found["items"]}

    def _on_the_node(self, known: set[str]) -> str:
        """Containers that are nobody's."""
        socket = str(self.quay.cluster.layout.containerd)
        pod = 'labels."io.kubernetes.pod.name"'
        wanted = [f'labels."io.kubernetes.pod.namespace"=={self.quay.namespace}']
        wanted += [f"{pod}!={name}" for name in sorted(known)]
        words = ["ctr", "--address", socket, "--namespace", "k8s.io", "containers", "list", "-q"]
        done = subprocess.run([*words, ",".join(wanted)], capture_output=True, text=True, check=True)
        return f"containers of nobody: {done.stdout.split()}" if done.stdout.strip() else ""

    async def agreed(self, within: float) -> float:
        """Seconds until everything agrees and nothing is left over; fails with what differs."""
        began = time.monotonic()
        while True:
            try:
                found = await self.disagreement()
            except (ProgramError, SandboxError) as error:
                found = f"somebody does not answer: {error}"
            seconds = time.monotonic() - began
            if not found:
                return round(seconds, 1)
            assert seconds < within, found
            await asyncio.sleep(_LOOK)  # inventories have no common event


def words_of(sessions: Sequence[Session]) -> str:
    """What their people saw."""
    cut = sum(1 for session in sessions if session.cuts)
    longest = max(session.pause for session in sessions)
    return f"{len(sessions)} pages, {cut} of them cut, longest pause {longest:.1f} s"
