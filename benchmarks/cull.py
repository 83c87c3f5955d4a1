"""What does it cost a hub with 10 000 servers that idle ones are ended? Beside idle-culler, in one run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import aiohttp

from hub_config.demo.running import CHECKOUT
from jupyter_sandbox_spawner.control.parts import Tuning

from .crowd import pss
from .cull_control import Books, open_books, running_control
from .cull_hub import BLOCKS, FullHub, open_full_hub, user_name
from .cull_watch import Noticed, noticing
from .figures import Goal, Measure
from .house import scratch
from .machine import cpu_seconds, end_of, first_of_all
from .row import BenchmarkError, Row, Take
from .town import percentile

__all__ = ["BLOCKS", "SERVERS", "rows"]

SERVERS = 10_000
_LOOKS, _PEER, _REST = "control", "idle-culler", "nobody"
_MINUTE, _STOCK = "control, a minute", "stock hub and idle-culler, a minute"
_HUB = Measure("a pass: the hub's processor time", "s", Goal("at most", 0.01))
_OWN = Measure("a pass: the culler's own processor time", "s")
_TOOK = Measure("a pass: how long", "s")
_STALL = Measure("a pass: the hub's longest silence", "ms", Goal("at most", 50), "ours")
_P50 = Measure("a pass: another's page of the hub, p50", "ms", compare="ours")
_P99 = Measure("a pass: another's page of the hub, p99", "ms", Goal("at most", 10), "ours")
_WORST = Measure("a pass: another's page of the hub, worst", "ms", compare="ours")
_PLUGIN = Measure("a pass: control's answer to the plugin, p99", "ms", compare="ours")
_MEMORY = Measure("the culler's memory", "MiB", compare="ours")
_ALL_HUB = Measure("a minute of everything: the hub's processor time", "s")
_ALL_STALL = Measure("a minute of everything: the hub's longest silence", "ms", Goal("at most", 50), "ours")
_ALL_P99 = Measure("a minute of everything: another's page, p99", "ms", Goal("at most", 10), "ours")
_ALL_OWN = Measure("a minute of everything: the culler's own processor time", "s")
_PERIOD = 300  # seconds between two passes, and two looks of the hub at its proxy, as both ship
_NEVER = 10**9
_REST_SECONDS = 5.0
_ENDS_WITHIN = 600.0
_LONG = aiohttp.ClientTimeout(total=_ENDS_WITHIN)
_DUE_TOOK = Measure("due at the same minute: until all have ended", "s", compare="ours")
_DUE_HUB = Measure("due at the same minute: the hub's processor time", "s")
_DUE_STALL = Measure("due at the same minute: the hub's longest silence", "ms", Goal("at most", 50), "ours")
_DUE_P50 = Measure("due at the same minute: another's page of the hub, p50", "ms", compare="ours")
_DUE_P99 = Measure("due at the same minute: another's page of the hub, p99", "ms", compare="ours")
_DUE_PLUGIN = Measure("due at the same minute: control's answer to the plugin, p99", "ms", compare="ours")
_AT_ONCE = Measure(
    "due at the same minute: stops at once", "", Goal("at most", Tuning().stops_at_once), "ours"
)


class _Yard:
    """One hub, and what was ended there so far."""

    def __init__(self, hub: FullHub, books: Books, log: Path) -> None:
        self.hub, self.books, self._log = hub, books, log
        self._block = 0

    async def look(self, contestant: str) -> Mapping[str, float]:
        """A pass by one of them, first with nobody else there, then beside other clients."""
        if contestant == _REST:
            return await self._rest()
        return await (self._look_ours() if contestant == _LOOKS else self._look_peer())

    async def _look_ours(self) -> Mapping[str, float]:
        async with running_control(self.books, "looks") as control:
            await self._until_quiet()
            hub, own = self._used(), cpu_seconds([control.process])
            took = await control.look_at_all()
            hub, own = self._used() - hub, cpu_seconds([control.process]) - own
            async with noticing(self.hub, partial(control.client.last, user_name(1), "")) as noticed:
                await control.look_at_all()
            memory = pss(control.process)
        told = {_HUB.name: hub, _OWN.name: own, _TOOK.name: took, _MEMORY.name: memory}
        return told | _seen(noticed) | {_PLUGIN.name: percentile(noticed.beside, 0.99)}

    async def _look_peer(self) -> Mapping[str, float]:
        await self._until_quiet()
        hub = self._used()
        told = await self._peer(_NEVER)
        hub = self._used() - hub
        async with noticing(self.hub) as noticed:
            await self._peer(_NEVER)
        # There is nobody but the hub who could answer a plugin.
        own = {_OWN.name: told["cpu"], _TOOK.name: told["took"], _MEMORY.name: told["memory"]}
        return own | _seen(noticed) | {_HUB.name: hub, _PLUGIN.name: noticed.p99}

    async def _rest(self) -> Mapping[str, float]:
        await self._until_quiet()
        hub, began = self._used(), time.perf_counter()
        await asyncio.sleep(_REST_SECONDS)
        hub, took = self._used() - hub, time.perf_counter() - began
        async with noticing(self.hub) as noticed:
            await asyncio.sleep(_REST_SECONDS)
        return {_HUB.name: hub, _TOOK.name: took} | _seen(noticed)

    async def minute(self, contestant: str) -> Mapping[str, float]:
        """All that keeps servers, records and routes right, with a look at every server, beside clients."""
        await self._until_quiet()
        async with noticing(self.hub):
            rest = self._used()
            await asyncio.sleep(_REST_SECONDS)
            rest = (self._used() - rest) / _REST_SECONDS
        began = time.perf_counter()
        if contestant == _STOCK:
            hub, own, noticed = await self._minute_peer()
            hub = (hub - rest * (time.perf_counter() - began)) * 60 / _PERIOD
        else:
            hub, own, noticed = await self._minute_ours()
            hub -= rest * 60
        return {
            _ALL_HUB.name: hub,
            _ALL_OWN.name: own,
            _ALL_STALL.name: noticed.stall,
            _ALL_P99.name: noticed.p99,
        }

    async def _minute_ours(self) -> tuple[float, float, Noticed]:
        async with running_control(self.books) as control:
            await self._until_quiet()
            async with noticing(self.hub) as noticed:
                hub, own = self._used(), cpu_seconds([control.process])
                ends = time.perf_counter() + 60
                await control.look_at_all()
                await asyncio.sleep(max(ends - time.perf_counter(), 0))
                return self._used() - hub, cpu_seconds([control.process]) - own, noticed

    async def _minute_peer(self) -> tuple[float, float, Noticed]:
        async with noticing(self.hub) as noticed:
            hub = self._used()
            async with self.hub.session.post(f"{self.hub.url}/bench/activity", timeout=_LONG) as answer:
                answer.raise_for_status()
            told = await self._peer(_NEVER)
            return self._used() - hub, told["cpu"] * 60 / _PERIOD, noticed

    async def due(self, contestant: str) -> Mapping[str, float]:
        """A tenth of the servers ends, those that were used longest ago."""
        if self._block == BLOCKS:
            raise BenchmarkError(f"cull-due: after {BLOCKS} measurements no server is left; fewer --rounds.")
        size = self.hub.servers // BLOCKS
        block = range(self._block * size + 1, (self._block + 1) * size + 1)
        self._block += 1
        if contestant == _LOOKS:
            return await self._due_ours(block)
        await self._until_quiet()
        hub, began = self._used(), time.perf_counter()
        async with noticing(self.hub) as noticed:
            await self._peer(round((BLOCKS - self._block + 0.5) * 3600))
        took = time.perf_counter() - began
        hub = self._used() - hub
        await self.books.forget(block)
        return _ended(took, hub, noticed)

    async def _due_ours(self, block: range) -> Mapping[str, float]:
        at = datetime.now(timezone.utc) + timedelta(seconds=6 + self.hub.servers / 200)
        await self.books.due(block, at)
        self.hub.ours.write_text(self.books.site.run_dir)
        try:
            async with running_control(self.books, "looks") as control:
                await self._until_quiet()
                wait = (at - datetime.now(timezone.utc)).total_seconds()
                if wait < 0:
                    raise BenchmarkError(f"control was not ready {-wait:.0f} s after the servers were due.")
                await asyncio.sleep(wait)
                hub, began = self._used(), time.perf_counter()
                async with noticing(self.hub, partial(control.client.last, user_name(1), "")) as noticed:
                    while await self.books.open_among(block):
                        if time.perf_counter() - began > _ENDS_WITHIN:
                            raise BenchmarkError(f"Servers that are due do not end:\n{end_of(control.log)}")
                        await asyncio.sleep(0.2)
                return _ended(time.perf_counter() - began, self._used() - hub, noticed)
        finally:
            self.hub.ours.unlink()

    async def _peer(self, timeout: int) -> Mapping[str, float]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.cull_once", f"{self.hub.url}/api", str(timeout)),
            env=os.environ | {"JUPYTERHUB_API_TOKEN": self.hub.culler, "PYTHONPATH": str(CHECKOUT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        if process.returncode:
            raise BenchmarkError(f"idle-culler failed:\n{errors.decode()[-2000:]}")
        told: dict[str, float] = json.loads(out)
        return told

    def _used(self) -> float:
        return cpu_seconds([self.hub.process])

    async def _until_quiet(self) -> None:
        """The hub works on nothing more: for a second it used less than a tenth of a processor."""
        deadline = time.monotonic() + _ENDS_WITHIN
        while True:
            before = self._used()
            await asyncio.sleep(1)
            if self._used() - before < 0.1:
                return
            if time.monotonic() > deadline:
                raise BenchmarkError(f"The hub does not come to rest:\n{end_of(self._log)}")


def _seen(noticed: Noticed) -> dict[str, float]:
    values = {_P50: noticed.p50, _P99: noticed.p99, _WORST: max(noticed.answers), _STALL: noticed.stall}
    return {measure.name: value for measure, value in values.items()}


def _ended(took: float, hub: float, noticed: Noticed) -> Mapping[str, float]:
    beside = noticed.beside or noticed.answers
    return {
        _DUE_TOOK.name: took,
        _DUE_HUB.name: hub,
        _DUE_STALL.name: noticed.stall,
        _DUE_P50.name: noticed.p50,
        _DUE_P99.name: noticed.p99,
        _DUE_PLUGIN.name: percentile(beside, 0.99),
        _AT_ONCE.name: noticed.stops,
    }


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


@asynccontextmanager
async def _opened(servers: int, takes: Callable[[_Yard], Take]) -> AsyncIterator[Take]:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(scratch())
        stack.enter_context(first_of_all())
        hub = await stack.enter_async_context(open_full_hub(directory, servers, _say))
        (directory / "control").mkdir()
        books = await stack.enter_async_context(open_books(directory / "control", hub, _say))
        yield takes(_Yard(hub, books, directory / "hub.log"))


def rows(servers: int = SERVERS) -> tuple[Row, ...]:
    """The rows of a hub with so many servers."""
    looks = (_HUB, _OWN, _TOOK, _STALL, _P50, _P99, _WORST, _PLUGIN, _MEMORY)
    minute = (_ALL_HUB, _ALL_OWN, _ALL_STALL, _ALL_P99)
    due = (_DUE_TOOK, _DUE_HUB, _DUE_STALL, _DUE_P50, _DUE_P99, _DUE_PLUGIN, _AT_ONCE)
    return (
        Row(
            "cull",
            f"a look at each of {servers} servers of one hub, none of which is idle",
            (_LOOKS, _PEER, _REST),
            looks,
            lambda: _opened(servers, lambda yard: yard.look),
            rounds=3,
        ),
        Row(
            "cull-minute",
            f"a minute of all that keeps {servers} servers and their routes right",
            (_MINUTE, _STOCK),
            minute,
            lambda: _opened(servers, lambda yard: yard.minute),
            rounds=2,
        ),
        Row(
            "cull-due",
            f"{servers // BLOCKS} of {servers} servers of one hub are due at the same minute",
            (_LOOKS, _PEER),
            due,
            lambda: _opened(servers, lambda yard: yard.due),
            rounds=BLOCKS // 2 - 1,
        ),
    )
