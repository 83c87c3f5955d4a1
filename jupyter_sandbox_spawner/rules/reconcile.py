"""Where do hub, database, launcher, gateway and its wires disagree about what exists, and what mends it?

Law: an inventory that could not be read is None and proves nothing: nothing is removed because of it. A
disagreement acts only after it was seen for its patience, so a start or stop under way is never cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

__all__ = [
    "Action",
    "HubServer",
    "Inventories",
    "LauncherEntry",
    "OpenRecord",
    "Plan",
    "Verb",
    "plan",
    "still_due",
]

Verb = Literal[
    "adopt",  # the database learns of a sandbox that hub and launcher both have
    "confirm",  # the record learns that its server became ready
    "reopen",  # the gateway opens the doors again
    "quarantine",  # doors are closed: nothing reaches it, nothing of it is lost yet
    "remove",  # stopped, erased at the launcher, doors closed
    "close_doors",  # the gateway forgets a sandbox that does not exist
    "release",  # the record is closed, with a reason
    "stop_at_hub",  # the hub is asked to end a server that has no sandbox
    "finish_stop",  # a stop that was decided and did not happen is asked for again
]
PATIENCE: Mapping[Verb, int] = {
    "adopt": 0,
    "confirm": 0,
    "reopen": 0,
    "quarantine": 60,
    "remove": 600,
    "close_doors": 60,
    "release": 60,
    "stop_at_hub": 60,
    "finish_stop": 60,
}
# Leftovers of what ended by its record go at once; so, soon, does what the hub says it stopped and lives.
# A start that the hub lost never became anybody's work.
_PATIENCE_OF_CODE: Mapping[str, int] = {"orphan.released": 0, "stop.unverified": 60, "orphan.never_ready": 60}
_ALIVE = frozenset({"pending", "running", "stopping"})


@dataclass(frozen=True, kw_only=True)
class HubServer:
    """A server as the hub lists it; `prefix` is its path; `pending` is "spawn", "stop" or empty."""

    user: str
    server: str
    ready: bool
    pending: str
    prefix: str


@dataclass(frozen=True, kw_only=True)
class OpenRecord:
    """A record of the database: open, or released a short time ago."""

    id: str
    user: str
    server: str
    status: Literal["admitted", "ready", "stopping", "released"]


@dataclass(frozen=True, kw_only=True)
class LauncherEntry:
    """A sandbox as the launcher lists it."""

    id: str
    user: str
    server: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Inventories:
    """What each source says exists. None: it could not be asked. `gateway` maps ids to (user, server), `pods`
    ids to whether their pod is suspended; None where sandboxes are no pods, too."""

    hub: Sequence[HubServer] | None
    database: Sequence[OpenRecord]
    launcher: Sequence[LauncherEntry] | None
    gateway: Mapping[str, tuple[str, str]] | None
    pods: Mapping[str, bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing to do about one sandbox or server; `why` is for the log, the audit and the dry run."""

    verb: Verb
    sandbox: str
    user: str
    server: str
    code: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`due`: what to do now. `waiting`: seen, not yet for long enough. `sightings` go into the next call."""

    due: tuple[Action, ...]
    waiting: tuple[Action, ...]
    sightings: Mapping[Action, datetime] = field(default_factory=dict)


def plan(
    now: datetime,
    seen: Inventories,
    sightings: Mapping[Action, datetime],
    urgent: bool = False,
    share: float = 1.0,
) -> Plan:
    """Compare once; `urgent` (an admin asked to apply now) shortens every patience but removal's; then
    look twice and take what is `still_due`.

    `share` is how much of each patience is waited for.
    """
    view = _View(seen)
    found = [*_of_records(view), *_of_launcher(view), *_of_gateway(view), *_of_hub(view)]
    kept = {action: min(sightings.get(action, now), now) for action in dict.fromkeys(found)}
    due: list[Action] = []
    waiting: list[Action] = []
    for action, first in kept.items():
        ripe = now - first >= timedelta(seconds=share * _patience(action, urgent))
        (due if ripe else waiting).append(action)
    return Plan(due=tuple(due), waiting=tuple(waiting), sightings=kept)


def still_due(first: Plan, second: Plan) -> Plan:
    """The second plan with what both looks agree on. What one of them shows may be a start or an end that
    came between the questions to hub, launcher and database: it waits."""
    due = tuple(action for action in second.due if action in first.due)
    later = tuple(action for action in second.due if action not in first.due)
    return replace(second, due=due, waiting=(*later, *second.waiting))


def _patience(action: Action, urgent: bool) -> int:
    if action.code in _PATIENCE_OF_CODE:
        return _PATIENCE_OF_CODE[action.code]
    return 0 if urgent and action.verb != "remove" else PATIENCE[action.verb]


class _View:
    """The inventories with an index each, so that a pass costs what exists and not its square."""

    def __init__(self, seen: Inventories) -> None:
        self.seen = seen
        self.records = {record.id: record for record in seen.database}
        self.open = [record for record in seen.database if record.status != "released"]
        self.owned = {(record.user, record.server) for record in self.open}
        self._hub = {(item.user, item.server): item for item in seen.hub or ()}
        self._alive = {entry.id for entry in seen.launcher or () if entry.status in _ALIVE}

    def hub_has(self, user: str, server: str) -> bool | None:
        return None if self.seen.hub is None else (user, server) in self._hub

    def runs(self, user: str, server: str) -> bool:
        item = self._hub.get((user, server))
        return item is not None and item.ready and not item.pending

    def pending(self, user: str, server: str) -> bool:
        item = self._hub.get((user, server))
        return item is not None and item.pending != ""

    def alive(self, sandbox: str) -> bool | None:
        return None if self.seen.launcher is None else sandbox in self._alive

    def is_stranger(self, sandbox: str) -> bool:
        return self.seen.pods is not None and sandbox not in self.seen.pods


def _of_records(view: _View) -> list[Action]:
    return [action for record in view.open for action in _of_record(view, record)]


def _of_record(view: _View, record: OpenRecord) -> list[Action]:
    hub = view.hub_has(record.user, record.server)
    alive = view.alive(record.id)
    pending = view.pending(record.user, record.server)
    if record.status == "stopping" and alive and hub is False:
        return [_action("remove", record, "stop.unverified", "The hub stopped it and it still lives.")]
    if record.status == "stopping" and hub:
        return [_action("finish_stop", record, "stop.unfinished", "A decided stop did not happen.")]
    if alive is False and hub is False:
        return [_action("release", record, "ended.gone", "Neither hub nor launcher has it.")]
    if alive is False and hub and record.status == "ready" and not pending:
        return [_action("stop_at_hub", record, "ended.died", "Its sandbox ended and the hub still lists it.")]
    if alive and hub is False and record.status == "admitted":
        return [_action("remove", record, "orphan.never_ready", "The hub lost its start.")]
    if alive and hub is False:
        return _cut_off(view, record, "orphan.hub_forgot", "The hub does not know it.")
    if alive and hub and (shut := _shut(view, record, pending)):
        return shut
    if alive and record.status == "admitted" and view.runs(record.user, record.server):
        return [_action("confirm", record, "record.late", "It runs, and its record says that it starts.")]
    return []


def _shut(view: _View, record: OpenRecord, pending: bool) -> list[Action]:
    """It lives, its hub has it, and nobody reaches it."""
    if record.status == "ready" and not pending and view.is_stranger(record.id):
        # Its key was known there alone: no doors that are opened again would let it in.
        return [_action("stop_at_hub", record, "ended.pod_forgotten", "The gateway's wires forgot its pod.")]
    if view.seen.gateway is not None and record.id not in view.seen.gateway:
        return [_action("reopen", record, "doors.missing", "The gateway lost its doors.")]
    if (view.seen.pods or {}).get(record.id):
        return [_action("reopen", record, "doors.suspended", "Its doors are open, its pod is not let in.")]
    return []


def _of_launcher(view: _View) -> list[Action]:
    actions = []
    for entry in view.seen.launcher or ():
        record = view.records.get(entry.id)
        if record is not None and record.status == "released":
            actions.append(_action("remove", entry, "orphan.released", "Its record says that it ended."))
        elif record is None and (entry.user, entry.server) in view.owned:
            actions.append(_action("remove", entry, "orphan.duplicate", "Its server has another sandbox."))
        elif record is None and not view.pending(entry.user, entry.server):
            actions += _unrecorded(view, entry)
    return actions


def _unrecorded(view: _View, entry: LauncherEntry) -> list[Action]:
    if entry.status not in _ALIVE:
        return [_action("remove", entry, "orphan.unrecorded", "It ended; no record knows it.")]
    hub = view.hub_has(entry.user, entry.server)
    if hub is None:
        return []
    if hub:
        return [_action("adopt", entry, "record.missing", "Hub and launcher have it, the database does not.")]
    return _cut_off(view, entry, "orphan.unrecorded", "Only the launcher knows it.")


def _cut_off(view: _View, entry: OpenRecord | LauncherEntry, code: str, why: str) -> list[Action]:
    removal = _action("remove", entry, code, why)
    if entry.id not in (view.seen.gateway or {}):
        return [removal]
    return [_action("quarantine", entry, code, why), removal]


def _of_gateway(view: _View) -> list[Action]:
    """Doors, and pods that would be let in, of sandboxes that do not exist."""
    doors = view.seen.gateway
    pods = {} if doors is None else dict.fromkeys(view.seen.pods or (), ("", ""))
    actions = []
    for sandbox, owner in {**pods, **(doors or {})}.items():
        record = view.records.get(sandbox)
        user, server = owner if record is None else (record.user, record.server)
        starting = record is not None and record.status == "admitted"
        if view.alive(sandbox) is not False or (starting and view.hub_has(user, server) is not False):
            continue
        released = record is not None and record.status == "released"
        own, orphan = ("doors", "doors.orphaned") if sandbox in (doors or ()) else ("pods", "pods.orphaned")
        actions.append(
            Action(
                verb="close_doors",
                sandbox=sandbox,
                user=user,
                server=server,
                code="orphan.released" if released else orphan,
                why=f"Its {own} are open and its sandbox does not exist.",
            )
        )
    return actions


def _of_hub(view: _View) -> list[Action]:
    if view.seen.launcher is None:
        return []
    known = view.owned | {(item.user, item.server) for item in view.seen.launcher if item.status in _ALIVE}
    return [
        Action(
            verb="stop_at_hub",
            sandbox="",
            user=server.user,
            server=server.server,
            code="ended.died",
            why="The hub lists it as running and no sandbox exists.",
        )
        for server in view.seen.hub or ()
        if server.ready and not server.pending and (server.user, server.server) not in known
    ]


def _action(verb: Verb, entry: OpenRecord | LauncherEntry, code: str, why: str) -> Action:
    return Action(verb=verb, sandbox=entry.id, user=entry.user, server=entry.server, code=code, why=why)
