"""Who waits for a GPU in the database, and whose turn is it? Devices are given and tickets kept here.

Law: the queue moves only when somebody looks, in that transaction, by its instant alone: a crash between two
looks changes nothing, and a turn that nobody has seen yet has not begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from ..gpus import GpuDevice, GpuInventory, GpuWish
from ..models import SandboxSpec
from ..rules.admission import Admission, denied_by
from ..rules.queue import (
    INTEREST,
    Standing,
    Taken,
    Turn,
    Waiting,
    givable,
    matches,
    settle,
    still_waiting,
)
from ..rules.queue_words import Pool, none_refusal, too_many_refusal, wait_refusal
from .tables import sandboxes
from .tables_ledger import FIRST_TICKET, allocations, reservations, tickets

__all__ = [
    "Need",
    "Owner",
    "ask",
    "counts_of",
    "devices_of",
    "drop",
    "expire",
    "forget",
    "look",
    "owner_of",
    "put_back",
    "shift",
    "standing",
    "taken_now",
    "waiting_now",
]


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one start needs of the pool. `leaving`: sandboxes whose devices it takes over."""

    user: str
    server: str
    profile: str
    wish: GpuWish
    ttl: int | None
    leaving: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: SandboxSpec, wish: GpuWish, leaving: tuple[str, ...]) -> Need:
        """The need of a spec."""
        who = {"user": spec.user, "server": spec.server, "profile": spec.profile}
        return cls(**who, wish=wish, ttl=spec.ttl, leaving=leaving)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The server that waits with a ticket."""

    user: str
    server: str


def ask(
    connection: Connection, now: datetime, need: Need, gpus: GpuInventory
) -> tuple[GpuDevice, ...] | Admission:
    """The devices for this start, or a denial: `gpu.all_taken` comes with a ticket, the others without."""
    wish, pool = need.wish, givable(gpus.devices)
    fitting = [device for device in pool if matches(device, wish.kind)]
    if len(fitting) < wish.count:
        # A place that it has stays: an inventory may miss a device for a moment.
        return denied_by(now, too_many_refusal(wish, len(fitting)) if fitting else none_refusal(wish, pool))
    expire(connection, now)
    mine, own = _ticket(connection, now, need), devices_of(connection, need.leaving)
    turn = standing(connection, now, gpus, own={mine: own}).turn_of(mine)
    if not turn.due:
        taken = {item.device for item in taken_now(connection)} - own
        total = Pool(total=len(fitting), taken=len(taken & {device.id for device in fitting}))
        return _must_wait(connection, now, turn, total)
    drop(connection, mine)
    by_id = {device.id: device for device in gpus.devices}
    return tuple(by_id[name] for name in turn.devices)


def standing(
    connection: Connection,
    now: datetime,
    gpus: GpuInventory,
    own: dict[int, frozenset[str]] | None = None,
) -> Standing:
    """The queue as it is now, after dropping who gave up and reserving for whose turn has come."""
    expire(connection, now)
    found = waiting_now(connection)
    if own:
        found = [replace(item, own=own.get(item.id, frozenset())) for item in found]
    queue = settle(now, gpus.devices, taken_now(connection), found)
    _keep(connection, found, queue)
    return queue


def look(connection: Connection, now: datetime, gpus: GpuInventory) -> Standing:
    """The queue as it would be now; nothing is dropped, and no turn begins."""
    found = [item for item in waiting_now(connection) if still_waiting(item, now)]
    return settle(now, gpus.devices, taken_now(connection), found)


def waiting_now(connection: Connection) -> list[Waiting]:
    """Every ticket in order, with what is reserved for it."""
    kept: dict[int, list[str]] = {}
    for device, ticket in connection.execute(select(reservations).order_by(reservations.c.device)).all():
        kept.setdefault(ticket, []).append(device)
    return [
        Waiting(
            id=row.id,
            kind=row.kind,
            count=row.count,
            kept_until=row.kept_until,
            ttl=row.ttl,
            reserved_until=row.reserved_until,
            reserved=tuple(kept.get(row.id, ())),
        )
        for row in connection.execute(select(tickets).order_by(tickets.c.id)).mappings().all()
    ]


def taken_now(connection: Connection) -> list[Taken]:
    """Every device that is given, until the deadline of its sandbox."""
    query = select(allocations.c.device, allocations.c.parent, sandboxes.c.deadline)
    query = query.outerjoin(sandboxes, sandboxes.c.id == allocations.c.sandbox)
    found = connection.execute(query.where(allocations.c.until.is_(None))).all()
    return [Taken(device=device, parent=parent, until=until) for device, parent, until in found]


def counts_of(connection: Connection, now: datetime, user: str, but: str) -> tuple[int, int]:
    """How many of the user's servers wait, all but one, and for how many devices in all."""
    expire(connection, now)
    mine = (tickets.c.user == user, tickets.c.server != but)
    servers, devices = connection.execute(select(func.count(), func.sum(tickets.c.count)).where(*mine)).one()
    return int(servers), int(devices or 0)


def owner_of(connection: Connection, ticket: int) -> Owner | None:
    """Whose ticket this is."""
    query = select(tickets.c.user, tickets.c.server).where(tickets.c.id == ticket)
    row = connection.execute(query).one_or_none()
    return None if row is None else Owner(user=row.user, server=row.server)


def drop(connection: Connection, ticket: int) -> bool:
    """Take a ticket out of the queue, with what is reserved for it; False if there is none."""
    connection.execute(delete(reservations).where(reservations.c.ticket == ticket))
    return connection.execute(delete(tickets).where(tickets.c.id == ticket)).rowcount == 1


def forget(connection: Connection, user: str, server: str) -> None:
    """Take the ticket of this server out of the queue, if it has one."""
    query = select(tickets.c.id).where(tickets.c.user == user, tickets.c.server == server)
    for found in connection.execute(query).scalars().all():
        drop(connection, found)


def shift(connection: Connection, jump: timedelta) -> None:
    """After the wall clock jumped: everybody who waits keeps the time left."""
    for row in connection.execute(select(tickets)).mappings().all():
        times = {name: row[name] and row[name] + jump for name in ("at", "kept_until", "reserved_until")}
        connection.execute(update(tickets).where(tickets.c.id == row["id"]).values(**times))


def _ticket(connection: Connection, now: datetime, need: Need) -> int:
    """The ticket of this server, seen again now; a new one at the end of the queue where it has none."""
    query = select(tickets).where(tickets.c.user == need.user, tickets.c.server == need.server)
    old = connection.execute(query).mappings().one_or_none()
    wanted = {"kind": need.wish.kind, "count": need.wish.count}
    values = {"profile": need.profile, "ttl": need.ttl, "kept_until": now + INTEREST}
    if old is not None and (old["kind"], old["count"]) == (need.wish.kind, need.wish.count):
        connection.execute(update(tickets).where(tickets.c.id == old["id"]).values(**values))
        return int(old["id"])
    forget(connection, need.user, need.server)
    new = insert(tickets).values(user=need.user, server=need.server, at=now, **wanted, **values)
    return int(connection.execute(new.returning(tickets.c.id)).scalar_one())


def put_back(connection: Connection, now: datetime, spec: SandboxSpec) -> None:
    """A start with devices was never answered: its server waits again, before all others, as it did."""
    sandbox = spec.id
    mine = (allocations.c.sandbox == sandbox, allocations.c.until.is_(None))
    what = select(allocations.c.kind, allocations.c.wanted, allocations.c.profile)
    given = connection.execute(what.where(*mine)).all()
    if not given:
        return
    forget(connection, spec.user, spec.server)
    first = connection.execute(select(func.min(tickets.c.id))).scalar()
    connection.execute(
        insert(tickets).values(
            id=min(first or FIRST_TICKET, FIRST_TICKET) - 1,
            user=spec.user,
            server=spec.server,
            profile=given[0].profile,
            kind=given[0].wanted or given[0].kind,
            count=len(given),
            ttl=spec.ttl,
            at=now,
            kept_until=now + INTEREST,
        )
    )


def expire(connection: Connection, now: datetime) -> None:
    """Drop every ticket whose turn is over or whose user did not ask again."""
    for item in waiting_now(connection):
        if not still_waiting(item, now):
            drop(connection, item.id)


def _keep(connection: Connection, found: Sequence[Waiting], queue: Standing) -> None:
    before = {item.id: (item.reserved_until, item.reserved) for item in found}
    waits = [turn.waiting for turn in queue.turns]
    changed = [item for item in waits if (item.reserved_until, item.reserved) != before[item.id]]
    # All are taken off first: a device may go from one to another.
    for item in changed:
        connection.execute(delete(reservations).where(reservations.c.ticket == item.id))
        mine = update(tickets).where(tickets.c.id == item.id)
        connection.execute(mine.values(reserved_until=item.reserved_until))
    for item in changed:
        for device in item.reserved:
            connection.execute(insert(reservations).values(device=device, ticket=item.id))


def devices_of(connection: Connection, leaving: Sequence[str]) -> frozenset[str]:
    """The devices that these sandboxes have."""
    mine = (allocations.c.sandbox.in_(leaving), allocations.c.until.is_(None))
    return frozenset(connection.execute(select(allocations.c.device).where(*mine)).scalars())


def _must_wait(connection: Connection, now: datetime, turn: Turn, pool: Pool) -> Admission:
    kept_until = now + INTEREST if turn.eta is None else max(turn.eta, now) + INTEREST
    mine = update(tickets).where(tickets.c.id == turn.waiting.id)
    connection.execute(mine.values(kept_until=kept_until))
    return replace(denied_by(now, wait_refusal(now, turn, pool, kept_until)), ticket=turn.ticket())
