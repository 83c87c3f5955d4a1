"""What runs and was used under one name, in sum, and does a cap stand in the way?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from ..rules.gpu_hours import Span, hours_refusal
from ..rules.quotas import Asked, Held, Refusal, Scope, Share, over_cap
from .tables import sandboxes
from .tables_ledger import holdings

__all__ = ["Sums"]

_AMOUNTS = tuple(func.sum(getattr(holdings.c, name)) for name in ("cpu", "memory", "gpus"))


class Sums:
    """Sums at one instant of one transaction; each is asked for once. Sandboxes that leave do not count."""

    def __init__(self, connection: Connection, now: datetime, leaving: Collection[str] = ()) -> None:
        self._connection = connection
        self.now = now
        self._leaving = tuple(leaving)
        self._held: dict[tuple[str, str], Held] = {}
        self._spans: dict[tuple[str, str], list[Span]] = {}

    def load(self, scope: Scope, names: Sequence[str]) -> None:
        """Read what runs under these names at once."""
        self._held |= {(scope, name): Held() for name in names}
        query = select(holdings.c.name, func.count(), *_AMOUNTS)
        query = query.where(*self._open(scope), holdings.c.name.in_(names)).group_by(holdings.c.name)
        for name, servers, cpu, memory, gpus in self._connection.execute(query).all():
            self._held[scope, name] = Held(
                servers=servers, cpu=float(cpu), memory=int(memory), gpus=int(gpus)
            )

    def held(self, share: Share) -> Held:
        """What runs under the name of this share."""
        if (share.scope, share.name) not in self._held:
            self.load(share.scope, [share.name])
        return self._held[share.scope, share.name]

    def refusal(self, shares: Sequence[Share], asked: Asked) -> Refusal | None:
        """The first cap of these shares that stands in the way of one more server."""
        for share in shares:
            held = self.held(share)
            refusal = over_cap(share, held, asked)
            if refusal is not None and share.scope == "user":
                refusal = over_cap(share, replace(held, names=self._servers(share.name)), asked)
            if refusal is None and asked.gpus and share.caps.gpu_hours is not None:
                refusal = hours_refusal(share, self.now, self._used(share, share.caps.gpu_hours.within))
            if refusal is not None:
                return refusal
        return None

    def _open(self, scope: Scope) -> tuple[Any, ...]:
        now = (holdings.c.scope == scope, holdings.c.until.is_(None))
        return (*now, holdings.c.sandbox.not_in(self._leaving)) if self._leaving else now

    def _servers(self, user: str) -> tuple[str, ...]:
        query = select(sandboxes.c.server).join(holdings, holdings.c.sandbox == sandboxes.c.id)
        found = self._connection.execute(query.where(*self._open("user"), holdings.c.name == user))
        return tuple(sorted(found.scalars()))

    def _used(self, share: Share, within: int) -> list[Span]:
        key = (share.scope, share.name)
        if key not in self._spans:
            self._spans[key] = self._read_spans(share, timedelta(seconds=within))
        return self._spans[key]

    def _read_spans(self, share: Share, within: timedelta) -> list[Span]:
        mine = (holdings.c.scope == share.scope, holdings.c.name == share.name, holdings.c.gpus > 0)
        ended = select(holdings.c.since, holdings.c.until, holdings.c.gpus)
        rows = self._connection.execute(ended.where(*mine, holdings.c.until > self.now - within)).all()
        spans = [Span(since=since, until=until, gpus=gpus) for since, until, gpus in rows]
        query = select(holdings.c.since, sandboxes.c.deadline, holdings.c.gpus)
        query = query.outerjoin(sandboxes, sandboxes.c.id == holdings.c.sandbox)
        rows = self._connection.execute(query.where(*mine, holdings.c.until.is_(None))).all()
        # One that is past its deadline is about to end, and has not ended.
        return spans + [
            Span(since=since, until=deadline and max(deadline, self.now), gpus=gpus)
            for since, deadline, gpus in rows
        ]
