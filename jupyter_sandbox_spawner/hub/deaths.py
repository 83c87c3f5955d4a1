"""How does the hub learn at once that a server died? The launcher tells, in one long poll for all servers.

The hub's own poll of each server goes on, rarely: it finds what happened while the launcher was away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakValueDictionary

from ..clients.launcher import LauncherClient
from ..errors import ProgramError
from ..models import Event
from ..settings import Site

__all__ = ["Deaths", "Followed", "follow_deaths", "is_replaced"]

log = logging.getLogger("jupyter_sandbox_spawner.hub")
_POLL = 20.0
_AFTER_ERROR = 0.5  # seconds; nothing announces that a restarted launcher listens again
_ENDED = frozenset({"sandbox.stopped", "sandbox.failed"})


class Followed(Protocol):
    """A spawner, as far as its death is concerned."""

    sandbox_id: str
    site: Site

    @property
    def ready(self) -> bool:
        """Does it run, with nothing pending?"""

    def poll_and_notify(self) -> Awaitable[int | None]:
        """Look now, and let the hub do what it does when a server is gone."""


class Deaths:
    """One launcher's events, and the spawners whose sandboxes they may be about."""

    def __init__(self, socket: str) -> None:
        self._client = LauncherClient(socket)
        self._spawners: WeakValueDictionary[str, Followed] = WeakValueDictionary()
        self._after = 0
        self._looks: set[asyncio.Task[int | None]] = set()
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="sandbox-deaths")

    def add(self, spawner: Followed) -> None:
        """Tell this one when its sandbox dies; no-op if it is known."""
        self._spawners[spawner.sandbox_id] = spawner

    async def _follow(self) -> None:
        async with self._client:
            while True:
                try:
                    events = await self._client.events(self._after, _POLL)
                except ProgramError as error:
                    log.debug("No events now: %s", error)
                    await asyncio.sleep(_AFTER_ERROR)
                    continue
                for event in events:
                    self._after = event.seq
                    self._tell(event)

    def _tell(self, event: Event) -> None:
        spawner = self._spawners.get(event.sandbox)
        if event.kind not in _ENDED or spawner is None or spawner.sandbox_id != event.sandbox:
            return
        if not spawner.ready:
            return  # it starts or stops, and whoever does that watches the sandbox
        look = asyncio.ensure_future(spawner.poll_and_notify())
        self._looks.add(look)
        look.add_done_callback(self._looked)

    def _looked(self, look: asyncio.Future[int | None]) -> None:
        self._looks.discard(look)
        if not look.cancelled() and look.exception() is not None:
            log.error("A server's death was not dealt with: %s; the next poll does it", look.exception())


_followers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Deaths]] = WeakKeyDictionary()


def follow_deaths(spawner: Followed) -> None:
    """Have this spawner look at once when its sandbox dies."""
    known = _followers.setdefault(asyncio.get_running_loop(), {})
    socket = spawner.site.launcher_socket
    if socket not in known:
        known[socket] = Deaths(socket)
    known[socket].add(spawner)


def is_replaced(spawner: Any) -> bool:
    """Has the hub another object for this server? It makes one after each stop, failed or not."""
    current = dict.get(spawner.user.spawners, spawner.name)
    return current is not None and current is not spawner
