"""What becomes of what is left over: does it go, is it moved aside, or only reported, and when?

Law: what belongs to a sandbox that somebody has is never a leftover; what no record of ours names and lies
outside our own directories may be another installation's, so it is only reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from ..leftovers import Leftover, LeftoverKind

__all__ = ["HANDLING", "KEPT", "Handling", "Judged", "Known", "Source", "Step", "judge"]

Source = Literal["launcher", "gateway", "control"]
Deed = Literal["remove", "quarantine", "report"]
KEPT = timedelta(days=1)  # in quarantine


@dataclass(frozen=True, kw_only=True)
class Handling:
    """`patience` in seconds; `urgent`: an admin who asks to act now need not wait for it."""

    deed: Deed
    patience: int
    why: str
    urgent: bool = True


# What may be somebody's work waits as long as a sandbox that the hub forgot; what is nobody's, a minute.
HANDLING: Mapping[LeftoverKind, Handling] = {
    "cgroup": Handling(deed="remove", patience=60, why="A cgroup without a process."),
    "processes": Handling(
        deed="remove", patience=600, why="Processes of a sandbox that nobody has.", urgent=False
    ),
    "mount": Handling(deed="remove", patience=60, why="A mount of a sandbox that nobody has."),
    "runtime_state": Handling(
        deed="remove", patience=600, why="The runtime has it, the launcher does not.", urgent=False
    ),
    "bundle": Handling(deed="quarantine", patience=60, why="A directory of a sandbox that nobody has."),
    "quarantined": Handling(
        deed="remove", patience=int(KEPT.total_seconds()), why="It was moved aside.", urgent=False
    ),
    "container": Handling(
        deed="remove", patience=600, why="A container with our labels that nobody has.", urgent=False
    ),
    "network": Handling(deed="remove", patience=600, why="A network with our labels; we make none."),
    "volume": Handling(deed="report", patience=0, why="A volume with our labels; it may hold files."),
    "pod": Handling(deed="remove", patience=600, why="A pod with our labels that nobody has.", urgent=False),
    "network_policy": Handling(deed="remove", patience=60, why="A policy for a pod that nobody has."),
    "secret": Handling(
        deed="remove", patience=600, why="A record on the cluster that the launcher cannot use.", urgent=False
    ),
    "home_mount": Handling(
        deed="remove", patience=60, why="A home is mounted, or waits for a volume, and no sandbox uses it."
    ),
    "user": Handling(deed="report", patience=0, why="The hub has no such user."),
    "home": Handling(deed="report", patience=0, why="No user has this home."),
    "doors": Handling(deed="remove", patience=60, why="Doors of a sandbox that nobody has."),
    "entry": Handling(deed="remove", patience=60, why="The gateway's record of a sandbox that nobody has."),
    "allocation": Handling(deed="remove", patience=60, why="Its sandbox has ended."),
    "ticket": Handling(deed="remove", patience=60, why="The hub has no such user."),
}
_HOST_WIDE = frozenset({"cgroup", "processes"})
_OF_USERS = frozenset({"user", "ticket"})
_DATED = frozenset({"quarantined"})  # by its own date, not by when it was first seen


@dataclass(frozen=True, kw_only=True)
class Known:
    """`alive`: ids that the launcher or an open record has; `recorded`: ids of any record; `users` None: the
    hub was not asked or did not answer."""

    alive: frozenset[str]
    recorded: frozenset[str]
    users: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """What becomes of one leftover; `seconds` until then."""

    source: Source
    item: Leftover
    deed: Deed
    why: str
    seconds: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """The same leftover in another pass."""
        return self.source, self.item.kind, self.item.name


@dataclass(frozen=True, kw_only=True)
class Judged:
    """`due`: now. `waiting`: seen, not yet for long enough. `reported`: an admin's to decide."""

    due: tuple[Step, ...] = ()
    waiting: tuple[Step, ...] = ()
    reported: tuple[Step, ...] = ()
    sightings: Mapping[tuple[str, str, str], datetime] = field(default_factory=dict)


def judge(
    now: datetime,
    found: Iterable[tuple[Source, Leftover]],
    known: Known,
    sightings: Mapping[tuple[str, str, str], datetime],
    urgent: bool = False,
    share: float = 1.0,
) -> Judged:
    """Decide about each once; `sightings` come from the pass before, `share` is how much patience is had."""
    due: list[Step] = []
    waiting: list[Step] = []
    reported: list[Step] = []
    kept: dict[tuple[str, str, str], datetime] = {}
    for source, item in found:
        key = (source, item.kind, item.name)
        if known.users is None and item.kind in _OF_USERS and key in sightings:
            kept[key] = sightings[key]  # not asked about in this pass: what was seen before still counts
        if not _is_left_over(item, known):
            continue
        step = _step(source, item, known)
        if step.deed == "report":
            reported.append(step)
            continue
        kept[step.key] = first = min(sightings.get(step.key, now), now)
        left = _left(now, first, item, urgent, share)
        if left > timedelta():
            waiting.append(replace(step, seconds=int(left.total_seconds()) + 1))
        else:
            due.append(step)
    return Judged(due=tuple(due), waiting=tuple(waiting), reported=tuple(reported), sightings=kept)


def _is_left_over(item: Leftover, known: Known) -> bool:
    if item.kind in _OF_USERS:
        return known.users is not None and item.user not in known.users
    return not item.sandbox or item.sandbox not in known.alive


def _step(source: Source, item: Leftover, known: Known) -> Step:
    handling = HANDLING[item.kind]
    if item.kind in _HOST_WIDE and item.sandbox not in known.recorded:
        why = f"{handling.why} No record names it: it may be another installation's."
        return Step(source=source, item=item, deed="report", why=why)
    return Step(source=source, item=item, deed=handling.deed, why=handling.why)


def _left(now: datetime, first: datetime, item: Leftover, urgent: bool, share: float) -> timedelta:
    handling = HANDLING[item.kind]
    if urgent and handling.urgent:
        return timedelta()
    patience = timedelta(seconds=handling.patience)
    if item.kind in _DATED:
        return patience - (now - (item.since or first))
    return share * patience - (now - first)
