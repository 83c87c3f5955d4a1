"""Who waits for a GPU, in which place, and until about when? Tickets and what is known of their turn.

Law: in the order of the tickets; devices that an earlier one waits for are set aside, so nobody overtakes
who competes for the same devices. A turn lasts RESERVED; who does not ask again is dropped INTEREST after
the time that was promised, or after asking where none was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from ..gpus import GpuDevice

__all__ = [
    "INTEREST",
    "RESERVED",
    "Standing",
    "Taken",
    "Ticket",
    "Turn",
    "Waiting",
    "givable",
    "matches",
    "settle",
    "still_waiting",
]

RESERVED = timedelta(minutes=5)
INTEREST = timedelta(minutes=30)
_NEVER = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """A place in the queue. `position` 1 is next, 0: a device is reserved until `reserved_until`.

    `eta` is when its turn comes by the deadlines of what runs now; None where something ahead has none.
    """

    id: str
    position: int
    eta: datetime | None = None
    reserved_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A device that a sandbox has, until its deadline; None: without end."""

    device: str
    parent: str = ""
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One ticket: `count` devices of a `kind`, for a server that runs `ttl` seconds.

    `own` are devices of sandboxes that this start closes: free for this ticket and for no other.
    """

    id: int
    kind: str
    count: int
    kept_until: datetime
    ttl: int | None = None
    reserved_until: datetime | None = None
    reserved: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Where a ticket stands. `devices` are set aside for it; `due`: all that it waits for."""

    waiting: Waiting
    position: int
    devices: tuple[str, ...] = ()
    eta: datetime | None = None

    @property
    def due(self) -> bool:
        """Has its turn come?"""
        return self.position == 0

    def ticket(self) -> Ticket:
        """What its user is told."""
        until = self.waiting.reserved_until
        return Ticket(id=str(self.waiting.id), position=self.position, eta=self.eta, reserved_until=until)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The queue at one instant, in order, and the devices that are left for who comes now."""

    turns: tuple[Turn, ...] = ()
    free: tuple[GpuDevice, ...] = ()
    free_at: Mapping[str, datetime] = field(default_factory=dict)

    def turn_of(self, ticket: int) -> Turn:
        """The turn of a ticket that is kept."""
        return next(turn for turn in self.turns if turn.waiting.id == ticket)


def matches(device: GpuDevice, kind: str) -> bool:
    """May this device be given for that kind? Parts of a GPU are given only by their name."""
    return device.kind == kind or (kind == "any" and not device.is_mig)


def givable(devices: Sequence[GpuDevice], taken: Iterable[Taken] = ()) -> tuple[GpuDevice, ...]:
    """The devices that can be given at all: no GPU that is split, and no part of one that is given whole."""
    taken = tuple(taken)
    split = {device.parent for device in devices} | {item.parent for item in taken}
    whole = {item.device for item in taken}
    return tuple(device for device in devices if device.id not in split and device.parent not in whole)


def still_waiting(waiting: Waiting, now: datetime) -> bool:
    """Is its place kept? Until its turn is over, or until when it was promised."""
    return now < (waiting.reserved_until or waiting.kept_until)


def settle(
    now: datetime, devices: Sequence[GpuDevice], taken: Sequence[Taken], waiting: Sequence[Waiting]
) -> Standing:
    """Set devices aside in the order of the tickets; those not kept any more are left out."""
    hall = _Hall(now, givable(devices, taken), taken)
    kept = [item for item in waiting if still_waiting(item, now)]
    # What was promised for five minutes is not taken back for anybody.
    reserved = {item.id: hall.keep(item) for item in kept if hall.can_keep(item)}
    turns: list[Turn] = []
    for item in kept:
        turn = reserved.get(item.id) or hall.serve(replace(item, reserved_until=None, reserved=()))
        if not turn.due:
            ahead = [old for old in turns if not old.due and _compete(old.waiting.kind, item.kind)]
            turn = replace(turn, position=len(ahead) + 1)
        turns.append(turn)
    return Standing(turns=tuple(turns), free=hall.left(), free_at=hall.free_at)


def _compete(one: str, other: str) -> bool:
    return one == other or ("any" in (one, other) and not (one + other).count("mig-"))


class _Hall:
    """The devices while turns are dealt out: which are free, and when each will be."""

    def __init__(self, now: datetime, devices: Sequence[GpuDevice], taken: Sequence[Taken]) -> None:
        self._now = now
        self._devices = devices
        until = {item.device: item.until or _NEVER for item in taken}
        # An end that has passed is about to come.
        self.free_at = {device.id: max(until.get(device.id, now), now) for device in devices}
        self._free = {device.id for device in devices if device.id not in until}

    def left(self) -> tuple[GpuDevice, ...]:
        """What nobody has and nobody waits for."""
        return tuple(device for device in self._devices if device.id in self._free)

    def can_keep(self, item: Waiting) -> bool:
        """Is every device that was reserved still there and free?"""
        return item.reserved_until is not None and set(item.reserved) <= self._free

    def keep(self, item: Waiting) -> Turn:
        """The turn of a ticket whose devices are reserved already."""
        self._take(item.reserved, self._now, item.ttl)
        return Turn(waiting=item, position=0, devices=item.reserved, eta=self._now)

    def serve(self, item: Waiting) -> Turn:
        """Set aside what is free for it, and count on the first devices to be freed for the rest."""
        fitting = [device.id for device in self._devices if matches(device, item.kind)]
        if len(fitting) < item.count:
            # It cannot be served by what is here now: it keeps its place and holds up nobody.
            return Turn(waiting=item, position=1)
        chosen = sorted(fitting, key=lambda device: self._order(device, item))[: item.count]
        ready = [device for device in chosen if device in self._free or device in item.own]
        eta = max(self._now if device in ready else self.free_at[device] for device in chosen)
        self._take(chosen, eta, item.ttl)
        if len(ready) < item.count:
            return Turn(waiting=item, position=1, devices=tuple(ready), eta=None if eta == _NEVER else eta)
        kept = replace(item, reserved=tuple(ready), reserved_until=self._now + RESERVED)
        return Turn(waiting=kept, position=0, devices=tuple(ready), eta=self._now)

    def _order(self, device: str, item: Waiting) -> tuple[bool, bool, datetime]:
        return device not in item.own, device not in self._free, self.free_at[device]

    def _take(self, devices: Iterable[str], since: datetime, ttl: int | None) -> None:
        self._free.difference_update(devices)
        endless = ttl is None or since == _NEVER
        for device in devices:
            self.free_at[device] = _NEVER if endless else since + timedelta(seconds=ttl or 0)
