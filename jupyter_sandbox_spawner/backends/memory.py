"""What does a backend look like without processes? The shipped fake, under the same contract as the rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from ..errors import BackendError
from ..models import (
    Capabilities,
    Doors,
    Event,
    Handle,
    InventoryItem,
    IsolationLevel,
    SandboxSpec,
    Status,
    Usage,
)
from ..names import LABEL_OWNER
from .base import Backend, Overlay, check_level, homes_of, is_over, unknown_sandbox
from .events import EventLog

__all__ = ["MemoryBackend"]


@dataclass
class _Place:
    spec: SandboxSpec
    status: Status = field(default_factory=lambda: Status(value="pending"))
    over: asyncio.Event = field(default_factory=asyncio.Event)
    log: str = ""


class MemoryBackend(Backend):
    """Sandboxes that are only entries in a dictionary; `finish` plays the end of an init process."""

    def __init__(self, level: IsolationLevel = "hard") -> None:
        self._level = level
        self._places: dict[str, _Place] = {}
        self._events = EventLog(datetime.now(timezone.utc))

    async def create(self, spec: SandboxSpec, doors: Doors, overlay: Overlay) -> Handle:
        """See Backend.create."""
        check_level(spec, await self.capabilities())
        if spec.id not in self._places:
            self._places[spec.id] = _Place(spec)
            await self._set(spec.id, Status(value="pending"))
        return Handle(id=spec.id, host_uid=self._places[spec.id].spec.host_uid)

    async def start(self, sandbox_id: str) -> None:
        """See Backend.start."""
        place = self._place(sandbox_id)
        if is_over(place.status):
            raise BackendError(f"The sandbox {sandbox_id} is over.", code="sandbox.over")
        if place.status.value == "pending":
            await self._set(sandbox_id, Status(value="running", started_at=datetime.now(timezone.utc)))

    async def status(self, sandbox_id: str) -> Status | None:
        """See Backend.status."""
        place = self._places.get(sandbox_id)
        return place.status if place else None

    async def stop(self, sandbox_id: str, grace: float) -> Status:
        """See Backend.stop."""
        place = self._place(sandbox_id)
        if place.status.value == "pending":
            await self._set(sandbox_id, Status(value="stopped", reason="stopped before it started"))
        elif place.status.value == "running":
            await self.finish(sandbox_id, 143, "stopped on request")
        return place.status

    async def remove(self, sandbox_id: str) -> None:
        """See Backend.remove."""
        if sandbox_id in self._places:
            await self.stop(sandbox_id, 0)
            del self._places[sandbox_id]

    async def ended(self, sandbox_id: str, timeout: float) -> Status | None:
        """See Backend.ended."""
        place = self._place(sandbox_id)
        try:
            await asyncio.wait_for(place.over.wait(), timeout)
        except asyncio.TimeoutError:
            return None
        return place.status

    async def usage(self, sandbox_id: str) -> Usage:
        """See Backend.usage; nothing is measured."""
        self._place(sandbox_id)
        return Usage(cpu_seconds=None, memory=None, memory_peak=None, pids=None)

    async def log_tail(self, sandbox_id: str) -> str:
        """See Backend.log_tail; the text given to `finish`."""
        return self._place(sandbox_id).log

    async def inventory(self) -> tuple[InventoryItem, ...]:
        """See Backend.inventory."""
        return tuple(
            InventoryItem(
                id=place.spec.id,
                user=place.spec.user,
                server=place.spec.server,
                status=place.status,
                zone=place.spec.zone,
                labels={
                    "owner": LABEL_OWNER,
                    "profile": place.spec.profile,
                    "gpus": " ".join(place.spec.gpu_devices),
                },
            )
            for place in self._places.values()
        )

    async def homes(self) -> frozenset[str]:
        """See Backend.homes."""
        return homes_of(place.spec for place in self._places.values())

    async def events(self, after: int, timeout: float) -> tuple[Event, ...]:
        """See Backend.events."""
        return await self._events.wait(after, timeout)

    async def capabilities(self) -> Capabilities:
        """See Backend.capabilities; the level given at construction."""
        return Capabilities(
            backend="memory",
            level=self._level,
            limits={"memory": True, "pids": True, "cpu": True},
            runtimes={},
        )

    async def finish(self, sandbox_id: str, exit_code: int, reason: str = "", log: str = "") -> None:
        """Play the end of a running sandbox's init process."""
        place = self._place(sandbox_id)
        place.log += log
        await self._set(
            sandbox_id, replace(place.status, value="stopped", exit_code=exit_code, reason=reason)
        )

    def _place(self, sandbox_id: str) -> _Place:
        if sandbox_id not in self._places:
            raise unknown_sandbox(sandbox_id)
        return self._places[sandbox_id]

    async def _set(self, sandbox_id: str, status: Status) -> None:
        place = self._places[sandbox_id]
        place.status = status
        if is_over(status):
            place.over.set()
        await self._events.add(place.spec, status)
