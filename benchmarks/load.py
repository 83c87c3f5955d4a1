"""What does a neighbour notice while one sandbox attacks the egress door? The same requests, quiet and not.

Law: attacker and neighbour are real sandboxes, each with a uid and a door of its own; the attacker has the
product's caps and half a core, as a small profile has, so that what slows the neighbour is the gateway.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from jupyter_sandbox_spawner.policies import EgressPolicy

from . import attacker, probe
from .figures import Goal, Measure
from .house import RELAY_PORT, SOURCE_HOST, House, Tenant, open_houses, scratch
from .machine import LOOPBACK, free_port, program, put_first, until_it_listens
from .row import BenchmarkError, Row, Take

__all__ = ["ROWS"]

_QUIET, _COMPUTING = "quiet", "neighbour computes"
_ATTACKER_CPU = 0.5
_REQUESTS = 100  # of each of the two kinds
_EVERY = 0.015  # seconds
_SETTLES = 1.0  # seconds until the attacker may open as many connections at once as at first
_LONG = aiohttp.ClientTimeout(total=120)
_TARGETS = (80, 443)


@dataclass(frozen=True)
class _Attack:
    """`kind` as attacker.py calls it, `name` as the table does; it must have done `least` of `counted`."""

    kind: str
    name: str
    about: str
    counted: str
    least: int


@dataclass(frozen=True)
class _Neighbours:
    """Who attacks and who is measured."""

    attacker: House
    neighbour: House
    session: aiohttp.ClientSession

    async def get(self, address: str, **query: str | float) -> dict[str, Any]:
        """What a server inside answers."""
        async with self.session.get(f"{address}?{urlencode(query)}") as answer:
            document: dict[str, Any] = await answer.json()
        if "error" in document:
            raise BenchmarkError(f"{address}: {document['error']}")
        return document

    async def requests(self) -> dict[str, Any]:
        """The neighbour's small requests, one after the other at a steady pace; seconds of each kind."""
        proxy, target = f"{LOOPBACK}:{RELAY_PORT}", f"{SOURCE_HOST}:80"
        return await self.get(
            f"{self.neighbour.url}requests", proxy=proxy, target=target, count=_REQUESTS, every=_EVERY
        )

    async def requests_during(self, kind: str) -> tuple[dict[str, Any], dict[str, int]]:
        """The same while the attacker does this; and what it did."""
        await self.get(f"{self.attacker.url}start", kind=kind, target=SOURCE_HOST)
        try:
            told = await self.requests()
        finally:
            did = await self.get(f"{self.attacker.url}stop")
        await asyncio.sleep(_SETTLES)
        return told, did


@asynccontextmanager
async def _neighbours() -> AsyncIterator[_Neighbours]:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(scratch())
        port, log = free_port(), directory / "probe.log"
        command = (sys.executable, "-I", probe.__file__, str(port))
        process = await stack.enter_async_context(program(command, log))
        await until_it_listens(port, process, log)
        tenants = (
            Tenant(
                user="attacker",
                script=attacker.__file__,
                cpu=_ATTACKER_CPU,
                per_second=EgressPolicy().new_connections_per_second,
            ),
            Tenant(user="neighbour"),
        )
        services = dict.fromkeys(_TARGETS, port)
        houses = await stack.enter_async_context(open_houses(directory, services, tenants))
        put_first((process.pid, houses[1].gateway, houses[1].relay))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=_LONG))
        yield _Neighbours(houses[0], houses[1], session)


def _row(attack: _Attack) -> Row:
    measures = {
        "connect_p50": Measure(f"{attack.name}: another's CONNECT, p50", "ms"),
        "connect_p95": Measure(f"{attack.name}: another's CONNECT, p95", "ms", Goal("at most", 2.0)),
        "get_p50": Measure(f"{attack.name}: another's GET, p50", "ms"),
        "get_p95": Measure(f"{attack.name}: another's GET, p95", "ms", Goal("at most", 2.0)),
    }
    ours = f"under {attack.name}"
    kinds = {ours: attack.kind, _COMPUTING: "computing"}

    @asynccontextmanager
    async def opened() -> AsyncIterator[Take]:
        async with _neighbours() as them:

            async def take(contestant: str) -> Mapping[str, float]:
                if contestant == _QUIET:
                    told = await them.requests()
                else:
                    told, did = await them.requests_during(kinds[contestant])
                    if contestant == ours and did[attack.counted] < attack.least:
                        raise BenchmarkError(f"{attack.name} was none: {did}, {attack.least} were wanted.")
                return {item.name: told[name] * 1e3 for name, item in measures.items()}

            yield take

    return Row(
        f"load-{attack.kind}", attack.about, (ours, _QUIET, _COMPUTING), tuple(measures.values()), opened
    )


ROWS = tuple(
    map(
        _row,
        (
            _Attack(
                "slow-heads", "slowloris", "heads sent a byte at a time on every connection", "sends", 1000
            ),
            _Attack("flood", "10 000 connections", "connections opened without end", "attempts", 10_000),
            _Attack(
                "chatter", "single bytes in tunnels", "bytes sent one by one after CONNECT", "sends", 1000
            ),
            _Attack("endless-hellos", "endless hellos", "TLS hellos without an end", "sends", 1000),
        ),
    )
)
