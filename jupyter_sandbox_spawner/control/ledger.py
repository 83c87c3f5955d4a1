"""Is there room for a sandbox, and which devices are its own? Caps, allocations and the queue, in one place.

Law: it looks and takes in the caller's transaction, which holds the write lock: nothing is given twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, select, update

from ..gpus import GpuDevice
from ..models import SandboxSpec
from ..rules.admission import Admission
from ..rules.gpu_hours import Span, hours_refusal
from ..rules.quotas import Asked, Held, Refusal, Share, over_cap, shares_of
from . import waiting
from .tables import sandboxes
from .tables_ledger import allocations, holdings, tickets

if TYPE_CHECKING:
    from .granting import Asking

__all__ = ["end", "held_by", "hold", "put_away", "refusal_of", "shift", "take"]


def take(connection: Connection, now: datetime, asking: Asking, spec: SandboxSpec) -> SandboxSpec | Admission:
    """The spec with its devices, or a denial `quota.*` or `gpu.*`, perhaps with a ticket.

    What is taken stands in the database before this returns; sandboxes that leave have given back theirs.
    """
    request, wish = asking.request, asking.terms.gpu
    shares = shares_of(asking.book.quotas, spec.user, request.groups, asking.terms.slug, asking.terms.at_most)
    asked = Asked(
        cpu=spec.resources.cpu, memory=spec.resources.memory, gpus=wish.count if wish is not None else 0
    )
    refusal = refusal_of(connection, now, shares, asked, asking.leaving)
    if refusal is None and wish is not None:
        refusal = _waits_for_more(connection, now, shares, asked, asking)
    if refusal is not None:
        return _denied(now, refusal)
    devices: tuple[GpuDevice, ...] = ()
    if wish is not None:
        got = waiting.ask(connection, now, waiting.Need.of(spec, wish, asking.leaving), asking.gpus)
        if isinstance(got, Admission):
            return got
        devices = got
    for gone in asking.leaving:
        end(connection, gone, now)
    hold(connection, now, spec, request.groups, devices)
    return replace(spec, gpu_devices=tuple(device.id for device in devices))


def hold(
    connection: Connection,
    now: datetime,
    spec: SandboxSpec,
    groups: Collection[str],
    devices: Sequence[GpuDevice] = (),
) -> None:
    """Write down what a sandbox holds, under every name, and which devices are its own."""
    names = [
        ("user", spec.user),
        ("profile", spec.profile),
        *(("group", name) for name in sorted(set(groups))),
    ]
    amounts = {"cpu": spec.resources.cpu, "memory": spec.resources.memory, "gpus": len(devices)}
    about = {"sandbox": spec.id, "since": now, **amounts}
    connection.execute(insert(holdings), [{"scope": scope, "name": name, **about} for scope, name in names])
    whose = {"sandbox": spec.id, "user": spec.user, "server": spec.server, "profile": spec.profile}
    for device in devices:
        what = {"device": device.id, "kind": device.kind, "parent": device.parent}
        connection.execute(insert(allocations).values(**what, **whose, since=now))


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


def refusal_of(
    connection: Connection,
    now: datetime,
    shares: Sequence[Share],
    asked: Asked,
    leaving: Collection[str] = (),
) -> Refusal | None:
    """The first cap of these shares that stands in the way; sandboxes that leave do not count."""
    for share in shares:
        held = held_by(connection, share, leaving)
        refusal = over_cap(share, held, asked)
        if refusal is not None and share.scope == "user":
            refusal = over_cap(share, replace(held, names=_servers(connection, share.name, leaving)), asked)
        if refusal is None and asked.gpus and share.caps.gpu_hours is not None:
            refusal = hours_refusal(share, now, _spans(connection, now, share))
        if refusal is not None:
            return refusal
    return None


def held_by(connection: Connection, share: Share, leaving: Collection[str] = ()) -> Held:
    """What runs under the name of this share."""
    sums = (func.sum(getattr(holdings.c, name)) for name in ("cpu", "memory", "gpus"))
    query = select(func.count(), *sums).where(*_open(share), holdings.c.sandbox.not_in(leaving))
    servers, cpu, memory, gpus = connection.execute(query).one()
    return Held(servers=servers, cpu=float(cpu or 0), memory=int(memory or 0), gpus=int(gpus or 0))


def _waits_for_more(
    connection: Connection, now: datetime, shares: Sequence[Share], asked: Asked, asking: Asking
) -> Refusal | None:
    """Who waits for GPUs with another server has them counted: nobody takes more places than they may use."""
    spec = asking.request.spec
    share = next((share for share in shares if share.scope == "user" and share.caps.gpus is not None), None)
    waits = waiting.count_of(connection, now, spec.user, spec.server) if share else 0
    if share is None or not waits:
        return None
    held = held_by(connection, share, asking.leaving)
    refusal = over_cap(share, replace(held, gpus=held.gpus + waits), asked)
    if refusal is None:
        return None
    remedy = f"You wait for {waits} with another server: give up that place, or start that server."
    return replace(refusal, remedy=remedy)


def _open(share: Share) -> tuple[Any, ...]:
    return holdings.c.scope == share.scope, holdings.c.name == share.name, holdings.c.until.is_(None)


def _servers(connection: Connection, user: str, leaving: Collection[str]) -> tuple[str, ...]:
    mine = (holdings.c.scope == "user", holdings.c.name == user, holdings.c.until.is_(None))
    query = select(sandboxes.c.server).join(holdings, holdings.c.sandbox == sandboxes.c.id)
    found = connection.execute(query.where(*mine, holdings.c.sandbox.not_in(leaving)))
    return tuple(sorted(found.scalars()))


def _spans(connection: Connection, now: datetime, share: Share) -> list[Span]:
    hours = share.caps.gpu_hours
    within = timedelta(seconds=hours.within if hours else 0)
    mine = (holdings.c.scope == share.scope, holdings.c.name == share.name, holdings.c.gpus > 0)
    columns = (holdings.c.since, holdings.c.until, holdings.c.gpus)
    ended = select(*columns).where(*mine, holdings.c.until > now - within)
    spans = [Span(since=a, until=b, gpus=gpus) for a, b, gpus in connection.execute(ended).all()]
    query = select(holdings.c.since, sandboxes.c.deadline, holdings.c.gpus)
    query = query.outerjoin(sandboxes, sandboxes.c.id == holdings.c.sandbox)
    for since, deadline, gpus in connection.execute(query.where(*mine, holdings.c.until.is_(None))).all():
        # One that is past its deadline is about to end, and has not ended.
        spans.append(Span(since=since, until=deadline and max(deadline, now), gpus=gpus))
    return spans


def _denied(now: datetime, refusal: Refusal) -> Admission:
    return Admission(
        admitted=False,
        now=now,
        code=refusal.code,
        message=refusal.message,
        remedy=refusal.remedy,
        retry_at=refusal.retry_at,
    )
