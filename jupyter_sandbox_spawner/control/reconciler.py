"""How are hub, database, launcher, gateway and its wires brought to agree again? Ask all, plan, act.

Law: the plan is pure (rules/reconcile.py); each act is audited before it is done and harmless when repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from ..clients.gateway import entry_of
from ..clients.pod_gateway import PodGateway
from ..errors import ProgramError
from ..gpus import GpuDevice
from ..models import GatewayInventory, InventoryItem
from ..rules.audit import Entry
from ..rules.leftovers import Judged
from ..rules.reconcile import (
    Action,
    HubServer,
    Inventories,
    LauncherEntry,
    OpenRecord,
    Plan,
    plan,
    still_due,
)
from . import records
from .adopting import Adopted, adopt
from .egress_keeping import EgressKeeper
from .leftovers import LeftoverKeeper
from .lifetime import Lifetime
from .parts import Parts
from .records import SandboxRecord
from .stopping import Stopper

__all__ = ["Found", "Reconciler"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
T = TypeVar("T")
_APART = 5.0  # seconds between the two looks of an admin who does not wait: longer than an answer takes
_PER_SERVER = 0.03  # seconds between passes for each server of the hub


@dataclass(frozen=True, kw_only=True)
class Found:
    """One pass: what is done about servers and about leftovers, and who did not answer."""

    plan: Plan
    leftovers: Judged
    silent: tuple[str, ...]


class Reconciler:
    """One pass at a time, by the clock or because an admin asked."""

    def __init__(self, parts: Parts, stopper: Stopper, lifetime: Lifetime, apart: float = _APART) -> None:
        self._parts = parts
        self._stopper = stopper
        self._lifetime = lifetime
        self._apart = apart
        self._sightings: Mapping[Action, datetime] = {}
        self._lock = asyncio.Lock()
        self._leftovers = LeftoverKeeper(parts)
        self._hub: dict[tuple[str, str], HubServer] = {}
        self._launcher: dict[str, InventoryItem] = {}
        self._open: Sequence[SandboxRecord] = ()
        self._doors: Mapping[str, str] = {}
        self.egress = EgressKeeper(parts)

    async def step(self, apply: bool = True, urgent: bool = False) -> tuple[Plan, tuple[str, ...]]:
        """Compare, and act unless it is a dry run. Also: which sources did not answer."""
        found = await self.look_around(apply, urgent)
        return found.plan, found.silent

    async def look_around(self, apply: bool, urgent: bool, users: bool = False) -> Found:
        """Compare servers, then look for leftovers (`users`: also of users that the hub does not have)."""
        async with self._lock:
            servers, silent = await self._compare(apply, urgent)
            leftovers, more = await self._leftovers.look(urgent, users)
            if apply:
                await self._leftovers.clear(leftovers.due)
            return Found(plan=servers, leftovers=leftovers, silent=tuple(sorted({*silent, *more})))

    async def _compare(self, apply: bool, urgent: bool) -> tuple[Plan, tuple[str, ...]]:
        found, silent = await self._plan(urgent)
        if urgent and found.due:
            # One look is no moment: the hub's pages and the database are read one after the other.
            await asyncio.sleep(self._apart)
            again, more = await self._plan(urgent)
            found, silent = still_due(found, again), tuple(sorted({*silent, *more}))
        for action in found.due if apply else ():
            await self._act(action)
        if apply:
            await self.egress.mend(self._open, self._doors)
        return found, silent

    async def _plan(self, urgent: bool) -> tuple[Plan, tuple[str, ...]]:
        seen, silent = await self._look()
        found = plan(self._parts.clock.now(), seen, self._sightings, urgent, self._parts.tuning.patience)
        self._sightings = found.sightings
        return found, silent

    def pause(self) -> float:
        """Seconds until the next pass by the clock: the hub lists its servers one by one, in its own loop."""
        return max(self._parts.tuning.reconcile_every, _PER_SERVER * len(self._hub))

    async def _look(self) -> tuple[Inventories, tuple[str, ...]]:
        hub, launcher, gateway, pods = await asyncio.gather(
            _or_none(self._parts.hub.servers()),
            _or_none(self._parts.launcher.inventory()),
            _or_none(self._parts.gateway.inventory()),
            _or_none(self._pods()),
        )
        ids = [item.id for item in launcher or ()] + [item.id for item in gateway or ()] + list(pods or ())
        # The database is read last: what it admitted meanwhile must not look like an orphan.
        database = await self._parts.store.run(
            lambda db: {item.id: item for item in [*records.all_open(db), *records.by_ids(db, ids)]}
        )
        self._hub = {(item.user, item.server): item for item in hub or ()}
        self._launcher = {item.id: item for item in launcher or ()}
        self._open = [item for item in database.values() if item.is_open]
        self._doors = {item.id: item.timed for item in gateway or ()}
        has_pods = isinstance(self._parts.gateway, PodGateway)
        named = (("hub", hub), ("launcher", launcher), ("gateway", gateway), ("wires", pods))
        silent = tuple(name for name, found in named if found is None and (name != "wires" or has_pods))
        seen = _inventories(hub, list(database.values()), launcher, gateway)
        return replace(seen, pods=pods), silent

    async def _pods(self) -> Mapping[str, bool] | None:
        gateway = self._parts.gateway
        if not isinstance(gateway, PodGateway):
            return None
        return {sandbox: pod.suspended for sandbox, pod in (await gateway.pods()).items()}

    async def _act(self, action: Action) -> None:
        log.warning("Reconcile %s/%s: %s (%s)", action.user, action.server, action.verb, action.why)
        entry = Entry(
            actor="control",
            action=f"reconcile.{action.verb}",
            outcome="decided",
            user=action.user,
            server=action.server,
            sandbox=action.sandbox,
            code=action.code,
            detail={"why": action.why},
        )
        try:
            await self._parts.audit.write(entry)
            await self._do(action)
        except ProgramError as error:
            log.error("%s of %s did not work and is tried again: %s", action.verb, action.sandbox, error)

    async def _do(self, action: Action) -> None:
        # Acts before this one took their time, so the record is read again.
        record = await self._parts.store.run(lambda db: records.by_id(db, action.sandbox))
        is_open = record is not None and record.is_open
        if action.verb == "adopt":
            await self._adopt(action)
        elif action.verb == "confirm":
            await self._confirm(action)
        elif action.verb == "reopen" and record is not None and is_open:
            await self._reopen(record)
        elif action.verb == "quarantine":
            await self._parts.gateway.quarantine(action.sandbox)
        elif action.verb == "close_doors":
            await self._parts.gateway.close_sandbox(action.sandbox)
        elif action.verb == "remove":
            await self._remove(action, record)
        elif action.verb == "release" and record is not None:
            await self._release(action, record)
        elif action.verb == "finish_stop" and record is not None:
            await self._stopper.ask(record)
        elif action.verb == "stop_at_hub":
            await self._stop_at_hub(action, record)

    async def _adopt(self, action: Action) -> None:
        item = self._launcher[action.sandbox]
        labels = item.labels
        slug = labels.get("profile", "")
        profile = await self._parts.terms.profile(slug)
        found = Adopted(
            id=action.sandbox,
            user=action.user,
            server=action.server,
            profile=slug,
            ttl=_seconds(labels.get("ttl", "")) or (profile.ttl if profile else None),
            since=item.status.started_at,
            max_age=self._parts.tuning.max_age,
            idle_timeout=profile.idle_timeout if profile else None,
            zone=item.zone,
            secrets=profile.secrets if profile else (),
            resources=profile.resources if profile else None,
            gpus=await self._devices(labels.get("gpus", "").split()),
        )
        now = self._parts.clock.now()

        def adopt_once(connection: Connection) -> None:
            if records.by_id(connection, found.id) is None:
                adopt(connection, found, now)

        await self._parts.store.run(adopt_once)
        self._lifetime.watch(action.sandbox)

    async def _devices(self, names: Sequence[str]) -> tuple[GpuDevice, ...]:
        # One that is not found any more is still its own, so that it is not given when it comes back.
        known = {item.id: item for item in (await self._parts.launcher.gpus()).devices} if names else {}
        return tuple(known.get(name, GpuDevice(id=name, kind="unknown")) for name in names)

    async def _confirm(self, action: Action) -> None:
        now = self._parts.clock.now()
        await self._parts.store.run(lambda db: records.mark_ready(db, action.sandbox, now, {}))
        self._lifetime.watch(action.sandbox)

    async def _reopen(self, record: SandboxRecord) -> None:
        server = self._hub.get((record.user, record.server))
        spec = record.known_spec()
        if server is None or not server.prefix or spec is None:
            log.error("%s: its doors cannot be opened again; its spec or address is unknown", record.id)
            return
        await self._parts.gateway.open(record.id, entry_of(spec, server.prefix))

    async def _remove(self, action: Action, record: SandboxRecord | None) -> None:
        await self._stopper.erase_unrecorded(action.sandbox)
        if record is not None:
            await self._stopper.release(record, action.code, action.why, None)

    async def _release(self, action: Action, record: SandboxRecord) -> None:
        entry = self._launcher.get(record.id)
        why = entry.status.reason if entry is not None and entry.status.reason else action.why
        exit_code = entry.status.exit_code if entry is not None else None
        await self._stopper.release(record, action.code, why, exit_code)

    async def _stop_at_hub(self, action: Action, record: SandboxRecord | None) -> None:
        if record is None:
            user, server = action.user, action.server
            newest = await self._parts.store.run(lambda db: records.latest_of(db, user, server))
            if newest is None or not newest.is_open:
                await self._parts.hub.stop_server(user, server)
            return
        entry = self._launcher.get(record.id)
        why = entry.status.reason if entry is not None and entry.status.reason else action.why
        await self._stopper.stop(record, action.code, why, "control")


def _seconds(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _inventories(
    hub: tuple[HubServer, ...] | None,
    database: list[SandboxRecord],
    launcher: tuple[InventoryItem, ...] | None,
    gateway: tuple[GatewayInventory, ...] | None,
) -> Inventories:
    return Inventories(
        hub=hub,
        database=[
            OpenRecord(id=item.id, user=item.user, server=item.server, status=item.status)
            for item in database
        ],
        launcher=None
        if launcher is None
        else [
            LauncherEntry(id=item.id, user=item.user, server=item.server, status=item.status.value)
            for item in launcher
        ],
        gateway=None if gateway is None else {item.id: (item.user, item.server) for item in gateway},
    )


async def _or_none(question: Awaitable[T]) -> T | None:
    try:
        return await question
    except ProgramError as error:
        log.warning("An inventory is missing from this pass: %s", error)
        return None
