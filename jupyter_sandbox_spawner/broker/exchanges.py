"""Which requests with secrets run now, how many may, and what ends one before its time?

Law: one that runs is looked at again and again: it ends when its client has left, when its sandbox has ended
or was cut off from secrets, and when nothing moves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from ..clients.grants import ControlBrokerClient
from ..errors import ProgramError, RefusedError, SandboxError
from .blocks import Blocks, blocked

__all__ = ["Exchange", "ExchangeTimes", "Exchanges"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
_OF_ONE = 24  # the door takes 32 connections of a sandbox
_OF_ALL = 512


@dataclass(frozen=True, kw_only=True)
class ExchangeTimes:
    """Seconds: between two looks, between two questions to control, without a byte either way, and without
    an answer of control."""

    look: float = 1.0
    control: float = 5.0
    still: float = 120.0
    alone: float = 60.0


class Exchange:
    """One request. `touch` says that bytes moved; `error` is why it was ended, None while nobody did."""

    def __init__(self, sandbox: str, request: web.Request, host: str) -> None:
        self.sandbox = sandbox
        self.host = host
        self.error: SandboxError | None = None
        self.task: asyncio.Task[web.StreamResponse] | None = None
        self._loop = asyncio.get_running_loop()
        self._request = request
        self.began = self.moved = self._loop.time()

    def touch(self) -> None:
        """Bytes moved."""
        self.moved = self._loop.time()

    @property
    def abandoned(self) -> bool:
        """Has the client left?"""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def end(self, error: SandboxError) -> None:
        """Stop it; no-op when it was ended already."""
        if self.error is None and self.task is not None:
            self.error = error
            self.task.cancel()


class Exchanges:
    """All that run; an `async with` owns the one task that looks at them."""

    def __init__(
        self, control: ControlBrokerClient, blocks: Blocks, times: ExchangeTimes | None = None
    ) -> None:
        self._control = control
        self._blocks = blocks
        self._times = times or ExchangeTimes()
        self._running: set[Exchange] = set()
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Exchanges:
        self._watch = asyncio.create_task(self._look_again_and_again())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def running(self, sandbox: str, request: web.Request, host: str) -> Iterator[Exchange]:
        """Count one while it lasts. Raises RefusedError `secret.too_many_requests`."""
        own = sum(item.sandbox == sandbox for item in self._running)
        if own >= _OF_ONE or len(self._running) >= _OF_ALL:
            who, most = ("This server", _OF_ONE) if own >= _OF_ONE else ("This site", _OF_ALL)
            raise RefusedError(
                f"{who} has {most} requests with secrets running already.",
                code="secret.too_many_requests",
                remedy="Try again when some of them are done.",
                status=429,
            )
        exchange = Exchange(sandbox, request, host)
        self._running.add(exchange)
        try:
            yield exchange
        finally:
            self._running.discard(exchange)

    async def _look_again_and_again(self) -> None:
        clock = asyncio.get_running_loop().time
        asked = answered = clock()
        while True:
            await asyncio.sleep(self._times.look)
            self._look(clock())
            if clock() - asked < self._times.control:
                continue
            asked = clock()
            if await self._asked_control():
                answered = clock()
            elif clock() - answered > self._times.alone:
                for exchange in tuple(self._running):
                    exchange.end(_over(exchange))

    def _look(self, now: float) -> None:
        for exchange in tuple(self._running):
            if exchange.abandoned:
                exchange.end(_over(exchange))
            elif self._blocks.holds(exchange.sandbox):
                exchange.end(blocked())
            elif now - exchange.moved > self._times.still:
                exchange.end(_slow(exchange.host, self._times.still))

    async def _asked_control(self) -> bool:
        try:
            return await self._still_running()
        except Exception:
            # Without this task nothing would end a request any more; the log has the traceback.
            log.exception("control could not be asked which sandboxes run")
            return False

    async def _still_running(self) -> bool:
        """End those whose sandbox has ended. False where control does not say."""
        asked = tuple(self._running)
        if not asked:
            return True
        try:
            running = await self._control.running(sorted({item.sandbox for item in asked}))
        except SandboxError as error:
            log.warning("Control does not say which sandboxes run: %s", error.code)
            return False
        for exchange in asked:
            if exchange.sandbox not in running:
                exchange.end(_over(exchange))
        return True


def _over(exchange: Exchange) -> SandboxError:
    return RefusedError(
        f"This server's request to {exchange.host} was ended with it.", code="sandbox.unknown", status=404
    )


def _slow(host: str, seconds: float) -> SandboxError:
    return ProgramError(
        f"{host} sent nothing for {seconds:g} s.",
        code="secret.host_slow",
        remedy="Try again later.",
        status=504,
    )
