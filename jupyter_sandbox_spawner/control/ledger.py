"""Is there room for a sandbox, and which devices are its own? Caps, allocations and the queue, in one place.

Law: it looks and takes in the caller's transaction, which holds the write lock: nothing is given twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, func, insert, select, update

from ..gpus import GpuDevice
from ..models import Resources, SandboxSpec
from ..rules.admission import Admission, denied_by
from ..rules.quotas import Asked, Caps, Refusal, Share, over_cap, shares_of
from . import waiting
from .sums import Sums
from .tables_ledger import allocations, holdings, tickets

if TYPE_CHECKING:
    from .granting import Asking

__all__ = ["Owner", "end", "gpus_of", "hold", "not_given", "put_away", "shift", "take"]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The sandbox that holds something, and whose it is; `wanted`: the kind of GPU that was asked for."""

    sandbox: str
    user: str
    server: str
    profile: str
    wanted: str = ""


def take(connection: Connection, now: datetime, asking: Asking, spec: SandboxSpec) -> SandboxSpec | Admission:
    """The spec with its devices, or a denial `quota.*` or `gpu.*`, perhaps with a ticket.

    What is taken stands in the database before this returns; sandboxes that leave have given back theirs.
    """
    request, wish = asking.request, asking.terms.gpu
    shares = shares_of(asking.book.quotas, spec.user, request.groups, asking.terms.slug, asking.terms.at_most)
    asked = Asked(
        cpu=spec.resources.cpu, memory=spec.resources.memory, gpus=wish.count if wish is not None else 0
    )
    sums = Sums(connection, now, asking.leaving)
    refusal = sums.refusal(shares, asked)
    if refusal is None and wish is not None:
        own = Caps(servers=asking.terms.servers_per_user)
        mine = [share for share in shares if share.scope == "user"]
        mine.append(Share(scope="user", name=spec.user, caps=own))
        refusal = _waits_for_more(connection, sums, mine, asked, spec)
    if refusal is not None:
        return denied_by(now, refusal)
    devices: tuple[GpuDevice, ...] = ()
    if wish is not None:
        got = waiting.ask(connection, now, waiting.Need.of(spec, wish, asking.leaving), asking.gpus)
        if isinstance(got, Admission):
            return got
        devices = got
    for gone in asking.leaving:
        end(connection, gone, now)
    kind = wish.kind if wish is not None else ""
    owner = Owner(sandbox=spec.id, user=spec.user, server=spec.server, profile=spec.profile, wanted=kind)
    hold(connection, now, owner, spec.resources, request.groups, devices)
    return replace(spec, gpu_devices=tuple(device.id for device in devices))


def hold(
    connection: Connection,
    now: datetime,
    owner: Owner,
    resources: Resources,
    groups: Collection[str],
    devices: Sequence[GpuDevice],
) -> None:
    """Write down what a sandbox holds, under every name, and which devices are its own."""
    names = [("user", owner.user), ("profile", owner.profile)]
    names += [("group", group) for group in sorted(set(groups))]
    amounts = {"cpu": resources.cpu, "memory": resources.memory, "gpus": len(devices)}
    about = {"sandbox": owner.sandbox, "since": now, **amounts}
    connection.execute(insert(holdings), [{"scope": scope, "name": name, **about} for scope, name in names])
    for device in devices:
        what = {"device": device.id, "kind": device.kind, "parent": device.parent}
        connection.execute(insert(allocations).values(**what, **asdict(owner), since=now))


def not_given(connection: Connection, devices: Sequence[GpuDevice]) -> tuple[GpuDevice, ...]:
    """Those of the devices that nobody has by the ledger."""
    given = {item.device for item in waiting.taken_now(connection)}
    return tuple(device for device in devices if device.id not in given)


def gpus_of(connection: Connection, wanted: Sequence[str]) -> dict[str, int]:
    """How many devices each of these sandboxes has; one that has none is left out."""
    found: dict[str, int] = {}
    for start in range(0, len(wanted), 500):
        mine = allocations.c.sandbox.in_(wanted[start : start + 500])
        query = select(allocations.c.sandbox, func.count()).where(mine, allocations.c.until.is_(None))
        found |= {row[0]: row[1] for row in connection.execute(query.group_by(allocations.c.sandbox))}
    return found


def end(connection: Connection, sandbox: str, now: datetime) -> None:
    """Give back what the sandbox had; no-op for one that had nothing or gave it back before."""
    mine = (holdings.c.sandbox == sandbox, holdings.c.until.is_(None))
    connection.execute(delete(holdings).where(*mine, holdings.c.gpus == 0))
    connection.execute(update(holdings).where(*mine).values(until=now))
    given = (allocations.c.sandbox == sandbox, allocations.c.until.is_(None))
    connection.execute(update(allocations).where(*given).values(until=now))


def put_away(connection: Connection, user: str, kept_as: str) -> None:
    """The user was deleted: the next of that name has used nothing and waits for nothing."""
    mine = (holdings.c.scope == "user", holdings.c.name == user)
    connection.execute(update(holdings).where(*mine).values(name=kept_as))
    connection.execute(update(allocations).where(allocations.c.user == user).values(user=kept_as))
    for found in connection.execute(select(tickets.c.id).where(tickets.c.user == user)).scalars().all():
        waiting.drop(connection, found)


def shift(connection: Connection, jump: timedelta) -> None:
    """After the wall clock jumped: what runs has used as much as before; who waits keeps the time left."""
    for table in (holdings, allocations):
        query = select(table.c.sandbox, table.c.since).where(table.c.until.is_(None)).distinct()
        for sandbox, since in connection.execute(query).all():
            still = (table.c.sandbox == sandbox, table.c.until.is_(None))
            connection.execute(update(table).where(*still).values(since=since + jump))
    waiting.shift(connection, jump)


def _waits_for_more(
    connection: Connection, sums: Sums, shares: Sequence[Share], asked: Asked, spec: SandboxSpec
) -> Refusal | None:
    """Who waits with other servers has them counted: nobody takes more places than they may use."""
    servers, gpus = waiting.counts_of(connection, sums.now, spec.user, spec.server)
    for share in shares if servers else ():
        held = sums.held(share)
        waits = replace(held, servers=held.servers + servers, gpus=held.gpus + gpus)
        refusal = over_cap(share, waits, asked)
        if refusal is not None:
            remedy = f"You wait for {gpus} with other servers: give up a place, or start such a server."
            return replace(refusal, remedy=remedy)
    return None
