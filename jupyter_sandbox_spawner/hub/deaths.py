"""How does the hub learn at once that a server died? The launcher tells, in one long poll for all servers.

What its events missed is found by its list of what runs: asked for after every silence, and now and then.
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
from .running import Running

__all__ = ["Deaths", "Followed", "follow_deaths", "is_replaced", "is_running"]

log = logging.getLogger("jupyter_sandbox_spawner.hub")
_POLL = 20.0
_AFTER_ERROR = 0.5  # seconds; nothing announces that a restarted launcher listens again
_LIST_EVERY = 30.0  # seconds
_AT_ONCE = 20  # dead servers dealt with at the same time
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
    """One launcher's events and its list of what runs, and the spawners that they may be about."""

    def __init__(self, socket: str) -> None:
        self._client = LauncherClient(socket)
        self.running = Running(self._client.running)
        self._spawners: WeakValueDictionary[str, Followed] = WeakValueDictionary()
        self._after = 0
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._looks: dict[str, asyncio.Task[int | None]] = {}
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="sandbox-deaths")

    def add(self, spawner: Followed) -> None:
        """Tell this one when its sandbox dies; no-op if it is known."""
        self._spawners[spawner.sandbox_id] = spawner

    async def _follow(self) -> None:
        silent = True
        async with self._client:
            while True:
                try:
                    events = await self._client.events(self._after, 0.0 if silent else _POLL)
                    for event in events:
                        self._after = event.seq
                        self._tell(event)
                    if self._spawners and (silent or self.running.age >= _LIST_EVERY):
                        await self._compare()
                    silent = False
                except ProgramError as error:
                    log.debug("No events now: %s", error)
                    silent = True
                    await asyncio.sleep(_AFTER_ERROR)

    async def _compare(self) -> None:
        await self.running.look()
        for sandbox, spawner in list(self._spawners.items()):
            if sandbox not in self.running:
                self._look_at(sandbox, spawner)

    def _tell(self, event: Event) -> None:
        if event.kind not in _ENDED:
            return
        self.running.over(event.sandbox)
        spawner = self._spawners.get(event.sandbox)
        if spawner is not None:
            self._look_at(event.sandbox, spawner)

    def _look_at(self, sandbox: str, spawner: Followed) -> None:
        if sandbox in self._looks or spawner.sandbox_id != sandbox or not spawner.ready:
            return  # it starts or stops, and whoever does that watches the sandbox
        look = asyncio.get_running_loop().create_task(self._look(spawner))
        self._looks[sandbox] = look
        look.add_done_callback(lambda task: self._looked(sandbox, task))

    async def _look(self, spawner: Followed) -> int | None:
        async with self._gate:
            return await spawner.poll_and_notify()

    def _looked(self, sandbox: str, look: asyncio.Task[int | None]) -> None:
        del self._looks[sandbox]
        if not look.cancelled() and look.exception() is not None:
            log.error("A server's death was not dealt with: %s; the next poll does it", look.exception())


_followers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Deaths]] = WeakKeyDictionary()


def follow_deaths(spawner: Followed) -> None:
    """Have this spawner look at once when its sandbox dies."""
    _deaths_of(spawner).add(spawner)


async def is_running(spawner: Followed) -> bool:
    """Does the launcher list its sandbox as one that runs? False proves no end: ask about that one.

    From now on its death is told, also where this raises ProgramError: the launcher does not answer.
    """
    deaths = _deaths_of(spawner)
    deaths.add(spawner)
    return await deaths.running.includes(spawner.sandbox_id)


def _deaths_of(spawner: Followed) -> Deaths:
    known = _followers.setdefault(asyncio.get_running_loop(), {})
    socket = spawner.site.launcher_socket
    if socket not in known:
        known[socket] = Deaths(socket)
    return known[socket]


def is_replaced(spawner: Any) -> bool:
    """Has the hub another object for this server? It makes one after each stop, failed or not."""
    current = dict.get(spawner.user.spawners, spawner.name)
    return current is not None and current is not spawner
