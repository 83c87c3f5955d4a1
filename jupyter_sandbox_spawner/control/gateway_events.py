"""How do the gateway's events reach the audit, with none lost while either side is away?

Law: audit first, then the user's own table, then the acknowledgement. A crash in between repeats events;
each audit line has the gateway's number (`source_seq`), so a repeat shows as one.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from ..models import Event
from . import happenings
from .parts import Parts

__all__ = ["GatewayEvents"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_POLL = 20.0
_AT_ONCE = 100  # events of one transaction, so that a flood holds the write lock for moments only


class GatewayEvents:
    """The puller. It starts at 0: the gateway forgets only what was acknowledged."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seq = 0

    async def step(self, timeout: float = _POLL) -> int:
        """Wait for events, keep them, acknowledge them; how many there were."""
        events = await self._parts.gateway.events(self._seq, timeout)
        if not events:
            await self._notice_reset()
            return 0
        for first in range(0, len(events), _AT_ONCE):
            await self._take(events[first : first + _AT_ONCE])
        return len(events)

    async def _take(self, events: tuple[Event, ...]) -> None:
        await self._parts.denials.write(events)
        await self._parts.store.run(lambda db: _keep(db, events))
        await self._parts.gateway.acknowledge(events[-1].seq)
        self._seq = events[-1].seq

    async def _notice_reset(self) -> None:
        """A gateway whose spool was lost counts from 1 again; asking above our number would hear nothing."""
        if self._seq and await self._parts.gateway.events(0, 0.0):
            log.warning("The gateway's event numbers started again below %s", self._seq)
            self._seq = 0


def _keep(connection: Connection, events: tuple[Event, ...]) -> None:
    """Its own table is of what a sandbox asked for; who knocked as its pod stands in the audit alone."""
    for event in events:
        if not event.sandbox or not event.kind.endswith(".denied") or event.kind == "pods.denied":
            continue
        happenings.count_denial(connection, event)
