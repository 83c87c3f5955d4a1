"""How fast do bytes and connections get out? Relay and gateway, beside Squid and beside no proxy."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from . import probe, source
from .figures import Goal, Measure
from .house import RELAY_PORT, SOURCE_HOST, House, open_house, scratch
from .machine import LOOPBACK, cpu_seconds, free_port, program, until_it_listens
from .row import BenchmarkError, Row, Take
from .squid import Squid, open_squid

__all__ = ["ROWS"]

_OURS, _SQUID, _DIRECT = "relay + gateway", "Squid", "no proxy"
_CONTESTANTS = (_OURS, _SQUID, _DIRECT)
_BYTES = 256 << 20  # of all streams together
_CONNECTIONS = 200
_LONG = aiohttp.ClientTimeout(total=180)


@dataclass(frozen=True)
class _Way:
    """How one contestant's client is asked, which proxy and target it is told, and who works for it."""

    probe: str
    proxy: str
    target: str
    processes: tuple[int, ...]


@dataclass(frozen=True)
class _Street:
    """All three ways to one source."""

    ways: Mapping[str, _Way]
    session: aiohttp.ClientSession

    async def ask(self, contestant: str, what: str, **more: int) -> tuple[Mapping[str, float], float]:
        """What the client measured, in seconds, and processor seconds of whoever carried its bytes."""
        way = self.ways[contestant]
        query = urlencode({"proxy": way.proxy, "target": way.target, **more})
        before = cpu_seconds(way.processes)
        async with self.session.get(f"{way.probe}{what}?{query}") as answer:
            document: dict[str, Any] = await answer.json()
        used = cpu_seconds(way.processes) - before
        if "error" in document:
            raise BenchmarkError(f"{contestant}: {document['error']}")
        return document, used


@asynccontextmanager
async def _street() -> AsyncIterator[_Street]:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(scratch())
        source_port = await _script(stack, directory, source.__file__)
        probe_port = await _script(stack, directory, probe.__file__)
        squid = await stack.enter_async_context(open_squid(directory))
        house = await stack.enter_async_context(open_house(directory, source_port))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=_LONG))
        yield _Street(_ways(house, squid, source_port, f"http://{LOOPBACK}:{probe_port}/"), session)


def _ways(house: House, squid: Squid, source_port: int, outside: str) -> dict[str, _Way]:
    proxy = f"{LOOPBACK}:{RELAY_PORT}"
    ours = _Way(house.url, proxy, f"{SOURCE_HOST}:{source_port}", (house.gateway, house.relay))
    target = f"{LOOPBACK}:{source_port}"
    return {
        _OURS: ours,
        _SQUID: _Way(outside, squid.place, target, (squid.process,)),
        _DIRECT: _Way(outside, "", target, ()),
    }


async def _script(stack: AsyncExitStack, directory: Path, file: str) -> int:
    port = free_port()
    log = directory / f"{Path(file).stem}.log"
    process = await stack.enter_async_context(program((sys.executable, "-I", file, str(port)), log))
    await until_it_listens(port, process, log)
    return port


def _throughput(streams: int) -> Row:
    plural = "streams" if streams > 1 else "stream"
    speed = Measure(f"egress, {streams} {plural}", "MB/s", Goal("at least", 1.2))
    cost = Measure(f"egress, {streams} {plural}: processor time", "s/GB", Goal("at most", 1.0))

    @asynccontextmanager
    async def opened() -> AsyncIterator[Take]:
        async with _street() as street:

            async def take(contestant: str) -> Mapping[str, float]:
                told, used = await street.ask(contestant, "download", size=_BYTES // streams, streams=streams)
                found = {speed.name: _BYTES / told["seconds"] / 1e6}
                # Without a proxy there is nobody between whose time could be counted.
                return found | ({} if contestant == _DIRECT else {cost.name: used / (_BYTES / 1e9)})

            yield take

    about = f"{streams} {plural} after CONNECT: MB/s, and processor time a GB of the proxy's processes"
    return Row(f"egress{streams}", about, _CONTESTANTS, (speed, cost), opened)


@asynccontextmanager
async def _connecting() -> AsyncIterator[Take]:
    async with _street() as street:

        async def take(contestant: str) -> Mapping[str, float]:
            told, _ = await street.ask(contestant, "connect", count=_CONNECTIONS)
            return {_LATENCY.name: told["connect_p50"] * 1e3, _LATE.name: told["connect_p95"] * 1e3}

        yield take


_LATENCY = Measure("CONNECT to first byte, p50", "ms", Goal("at most", 1.5))
_LATE = Measure("CONNECT to first byte, p95", "ms")
ROWS = (
    _throughput(1),
    _throughput(4),
    Row(
        "connect",
        "one CONNECT after the other, dialling to first byte",
        _CONTESTANTS,
        (_LATENCY, _LATE),
        _connecting,
    ),
)
