"""Of two launchers on a cluster, which one works? The one that holds the Lease; the other waits for it.

Law: who cannot renew in time stops, before anybody else may begin.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

from ..backends.kubernetes.api import Cluster
from ..errors import BackendError, SandboxError
from ..rules.leases import GIVE_UP, LAST_WRITE, RENEW, LeaseSeen, decide, lease_manifest, read_lease, released

__all__ = ["LEASE", "Lease", "until_first"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")
LEASE = "launcher"


class Lease:
    """`async with lease.held():` returns once it is ours; `lease.lost` ends when it is not any more."""

    def __init__(self, api: Cluster, me: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """`api` is of the programs' namespace; `me` is unique among launchers."""
        self._api = api
        self._clock = clock
        self._me = me or f"{os.environ.get('POD_NAME') or socket.gethostname()}-{os.urandom(4).hex()}"
        self._seen: LeaseSeen | None = None
        self._since = clock()
        self._renewed = clock()
        self._lost = asyncio.Event()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for it, keep it for the block, and give it back for the next one to take at once."""
        await self._take()
        keeping = asyncio.create_task(self._keep(), name="lease")
        try:
            yield
        finally:
            # Again: before Python 3.12 wait_for forgets a cancellation that comes with an answer.
            while not keeping.done():
                keeping.cancel()
                await asyncio.wait([keeping], timeout=RENEW)
            await self._give_back()

    def left(self) -> float:
        """Seconds for which nobody else can have it, whatever this launcher still has to finish; 0: none."""
        if self._lost.is_set():
            return 0.0
        return max(LAST_WRITE - (self._clock() - self._renewed), 0.0)

    async def lost(self) -> None:
        """Returns when it may be somebody else's."""
        await self._lost.wait()

    async def _take(self) -> None:
        told = False
        while not await self._turn():
            if not told and self._seen is not None:
                log.info("The launcher %s works; this one, %s, waits.", self._seen.holder, self._me)
                told = True
            await asyncio.sleep(RENEW)
        log.info("This launcher, %s, works now.", self._me)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW)
            try:
                # No answer may come after the moment from which others may begin.
                left = GIVE_UP - (self._clock() - self._renewed)
                ours = await asyncio.wait_for(self._turn(), max(left, 0.1))
            except asyncio.TimeoutError:
                ours = self._clock() - self._renewed <= GIVE_UP
            if not ours and (self._clock() - self._renewed > GIVE_UP or self._is_others()):
                log.critical("The Lease of the launcher is lost; this one stops.")
                self._lost.set()
                return

    def _is_others(self) -> bool:
        return self._seen is not None and self._seen.holder != self._me

    async def _turn(self) -> bool:
        """Look, and act on it; is it ours now? A cluster that does not answer changes nothing."""
        try:
            document = await self._api.get("leases", LEASE)
            self._look(read_lease(document))
            step = decide(self._seen, self._me, self._clock() - self._since)
            if step == "wait":
                return False
            began = self._clock()
            await self._write(step, document)
        except BackendError as error:
            if error.code != "kubernetes.conflict":
                log.warning("The Lease cannot be kept: %s", error)
            return False
        self._renewed = began  # not when the answer came: it may have been long on its way
        return True

    async def _write(self, step: str, old: Mapping[str, Any] | None) -> None:
        now = datetime.now(timezone.utc)
        if step == "make" or old is None:
            made = await self._api.create("leases", lease_manifest(LEASE, self._me, now))
        else:
            made = await self._api.replace("leases", LEASE, lease_manifest(LEASE, self._me, now, old))
        self._look(read_lease(made))

    def _look(self, seen: LeaseSeen | None) -> None:
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()

    async def _give_back(self) -> None:
        try:
            document = await self._api.get("leases", LEASE)
            seen = read_lease(document)
            if document is not None and seen is not None and seen.holder == self._me:
                await self._api.replace("leases", LEASE, released(document))
        except SandboxError as error:
            log.warning("The Lease is not given back, and runs out: %s", error)


async def until_first(*waits: Callable[[], Awaitable[object]]) -> None:
    """Returns when one of them does; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait()) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
