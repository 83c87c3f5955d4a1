"""How do denials reach the audit without filling it? One window a kind and sandbox, or user where
there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import ProgramError
from ..models import Event
from ..rules.audit import Entry
from ..rules.denials import Flood, entries_of
from .audit import AuditLog
from .clock import Clock

__all__ = ["DenialLedger"]

log = logging.getLogger("jupyter_sandbox_spawner.control")


class DenialLedger:
    """Keeps the open windows in memory; a crash loses the count of what was left out, never a line."""

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._floods: dict[str, Flood] = {}

    async def write(self, events: Sequence[Event]) -> None:
        """Audit these events in order. Raises ProgramError when the audit cannot be written."""
        now = self._clock.now()
        floods = dict(self._floods)
        entries: list[Entry] = []
        for event in events:
            # Each kind apart: a flood of refused hosts must not hide a refused secret.
            key = f"{event.kind} {event.sandbox or event.user}"
            lines, state = entries_of(now, (event,), floods.get(key))
            entries += lines
            floods.pop(key, None)
            if state is not None:
                floods[key] = state
        await self._audit.write(*entries, security=False)
        self._floods = floods

    async def denied(self, kind: str, user: str, server: str, sandbox: str = "", **detail: str) -> None:
        """One denial by control itself; a full audit is logged and does not turn it into an error."""
        event = Event(
            seq=0,
            time=self._clock.now(),
            kind=f"{kind}.denied",
            sandbox=sandbox,
            user=user,
            server=server,
            detail=detail,
        )
        try:
            await self.write((event,))
        except ProgramError as error:
            log.error("A denial is not in the audit (%s): %s %s %s", error.code, kind, user, detail)

    async def close_windows(self) -> None:
        """Write the counts of windows that are over."""
        now = self._clock.now()
        entries: list[Entry] = []
        kept: dict[str, Flood] = {}
        for key, flood in self._floods.items():
            lines, state = entries_of(now, (), flood)
            entries += lines
            if state is not None:
                kept[key] = state
        await self._audit.write(*entries, security=False)
        self._floods = kept
