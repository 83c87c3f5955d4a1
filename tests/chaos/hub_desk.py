"""What does a hub do here? It lists servers, starts and stops them by the product's Lifecycle, and buries.

Law: its steps are those of hub/spawner.py in their order; only what needs a hub's own database is left out.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from jupyter_sandbox_spawner.clients.control import AdmissionRequest, ProfileTerms, Released
from jupyter_sandbox_spawner.clients.gateway import entry_of
from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.hub.lifecycle import Lifecycle, to_its_end
from jupyter_sandbox_spawner.hub.planning import Furniture, StartPlan
from jupyter_sandbox_spawner.hub.stages import Stages
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
from jupyter_sandbox_spawner.settings import Site
from tests.programs.control_neighbours import HubWithServers

__all__ = ["Desk", "Seat"]


class _Lifecycle(Lifecycle):
    """The product's own; a server that sleeps answers nobody, so nobody waits for its answer."""

    async def _wait_for_server(self, plan: StartPlan, room: Furniture) -> None:
        return


@dataclass
class Seat:
    """One server of one person, and the sandbox that the hub thinks it has."""

    user: str
    server: str
    sandbox: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """As the hub lists it."""
        return self.user, self.server


class Desk:
    """The hub: `api` is its REST side, `seats` its servers; `refusals` are how starts failed last."""

    lifecycle: type[Lifecycle] = _Lifecycle

    def __init__(self, site: Site, api: HubWithServers, seats: list[Seat]) -> None:
        self.site, self.api, self.seats = site, api, seats
        self.seen: Counter[str] = Counter()
        self.refusals: dict[tuple[str, str], BaseException] = {}
        self._locks = {seat.key: asyncio.Lock() for seat in seats}
        self._asked: set[asyncio.Task[None]] = set()
        api.on_stop = self._asked_to_stop

    async def start(self, seat: Seat) -> None:
        """As a person's click on "start"; what goes wrong is told and undone."""
        async with self._locks[seat.key]:
            if seat.key in self.api.servers:
                return
            self.api.add(*seat.key, ready=False, pending="spawn")
            try:
                await self._start(seat)
            except BaseException as error:
                self.api.servers.pop(seat.key, None)
                self.seen[f"refused {getattr(error, 'code', type(error).__name__)}"] += 1
                self.refusals[seat.key] = error
                if not isinstance(error, (SandboxError, asyncio.CancelledError)):
                    raise
                return
            self.api.add(*seat.key)
            self.seen["started"] += 1

    async def _start(self, seat: Seat) -> None:
        async with self.lifecycle(self.site) as lifecycle:
            await lifecycle.clear(seat.user, seat.server)
            plan = self.plan(seat, await lifecycle.place(seat.user))
            seat.sandbox = plan.request.spec.id
            try:
                await lifecycle.start(plan, Stages())
            except BaseException:
                await to_its_end(self._undo(lifecycle, seat))
                raise

    def plan(self, seat: Seat, place: UserPlace) -> StartPlan:
        """What a start of this server needs."""
        return _plan(seat, place)

    async def _undo(self, lifecycle: Lifecycle, seat: Seat) -> None:
        await lifecycle.end(seat.sandbox, 0)
        await lifecycle.released(seat.sandbox, Released(code="start.failed", why="It did not start."))
        seat.sandbox = ""

    async def stop(self, seat: Seat, grace: float = 1.0) -> None:
        """As a person's click on "stop"; the hub forgets the server whatever its spawner says."""
        async with self._locks[seat.key]:
            self.api.servers.pop(seat.key, None)
            if seat.sandbox:
                await self._end(seat, grace, "stop.at_hub")
                self.seen["stopped"] += 1

    async def poll(self) -> None:
        """Bury whatever died, as the hub's own poll does."""
        for seat in self.seats:
            if self._locks[seat.key].locked():
                continue
            async with self._locks[seat.key]:
                if seat.sandbox and await self._is_over(seat.sandbox):
                    self.api.servers.pop(seat.key, None)
                    await self._end(seat, 0, "ended.died")
                    self.seen["buried"] += 1

    async def _is_over(self, sandbox: str) -> bool:
        try:
            async with self.lifecycle(self.site) as lifecycle:
                status = await lifecycle.status(sandbox)
        except SandboxError:
            return False
        return status is None or status.value in ("stopped", "failed")

    async def _end(self, seat: Seat, grace: float, code: str) -> None:
        try:
            async with self.lifecycle(self.site) as lifecycle:
                await lifecycle.end(seat.sandbox, grace)
                await lifecycle.released(seat.sandbox, Released(code=code, why="It was ended."))
        except SandboxError as error:
            self.seen[f"stop failed {error.code}"] += 1
            return
        seat.sandbox = ""

    def _asked_to_stop(self, user: str, server: str) -> None:
        """Control has asked: the answer comes at once and the work follows."""
        seat = next(seat for seat in self.seats if seat.key == (user, server))
        self.seen["control stopped"] += 1
        task = asyncio.get_running_loop().create_task(self.stop(seat))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def quiet(self) -> None:
        """Until what control asked for is done."""
        while self._asked:
            await asyncio.gather(*self._asked)


def _plan(seat: Seat, place: UserPlace) -> StartPlan:
    spec = SandboxSpec(
        id=sandbox_id(seat.user, seat.server, os.urandom(8).hex()),
        user=seat.user,
        server=seat.server,
        profile="cpu-small",
        profile_digest="d1",
        environment_name="user",
        host_uid=place.host_uid,
        resources=Resources(cpu=0.5, memory=128 << 20, pids=32),
        mounts=(Mount(kind="home", source=place.home, target="/home/jovyan", read_only=False),),
        ttl=86_400,
    )

    async def furnish(admitted: SandboxSpec) -> Furniture:
        prefix = f"/user/{seat.user}/{seat.server}/" if seat.server else f"/user/{seat.user}/"
        return Furniture(spec=replace(admitted), entry=entry_of(admitted, prefix), document=_document())

    request = AdmissionRequest(spec=spec, terms=ProfileTerms(slug="cpu-small", digest="d1"))
    return StartPlan(request=request, furnish=furnish, began=time.monotonic())


def _document() -> BootDocument:
    return BootDocument(
        version=1,
        environment={"PATH": "/usr/bin:/bin"},
        argv=("/bin/sleep", "86400"),
        working_directory="/",
        relay=(RelayPort(listen=3128, door="egress"), RelayPort(listen=8081, door="api")),
        ingress=IngressPlan(),
        expires_at=datetime.now(timezone.utc) + timedelta(hours=1),
    )
