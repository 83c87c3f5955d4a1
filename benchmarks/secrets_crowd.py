"""How do 500 sandboxes with secrets weigh on the broker? Logins, reads, renewals, ends, memory, time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import hvac

from jupyter_sandbox_spawner.clients.grants import Reader
from jupyter_sandbox_spawner.names import sandbox_id

from .crowd import SECRET, Crowd, open_crowd, pss
from .figures import Measure
from .house import scratch
from .machine import cpu_seconds
from .row import Row, Take
from .vault import BareHvac, RowVault, open_vault

__all__ = ["ROWS"]

_OURS, _BARE, _NONE, _EVEN = "500 sandboxes", "bare hvac", "no sandbox", "evenly"
_COUNT = 500
_TTL = 60  # seconds, so that a round sees renewals; a site's is 15 min
_REST = 8.0  # seconds in which nothing is asked of the broker
_RENEWALS = 45.0  # seconds in which renewals are counted: each login has at least one
_LOGINS = Measure("500 sandboxes: first reads, each with a login", "/s")
_READS = Measure("500 sandboxes: further reads", "/s")
_ENDS = Measure("500 sandboxes ended at once: logins ended", "/s")
_COST = Measure("a renewal: processor time", "ms")
_BUSIEST = Measure("renewals: the busiest second", "/s")
_MEMORY = Measure("the broker's memory (PSS)", "MiB", compare="difference")
_AT_REST = Measure("the broker at rest: processor time", "ms/s", compare="difference")


@dataclass(frozen=True)
class _Street:
    vault: RowVault
    bare: BareHvac
    directory: Path

    async def ours(self) -> Mapping[str, float]:
        """One crowd from its admission to its end."""
        self.vault.new_secret_id()
        async with open_crowd(self.directory, self.vault) as crowd:
            await crowd.admit(_COUNT)
            logins, reads = await crowd.read_all(), await crowd.read_all()
            resting = await _at_rest(crowd)
            memory = pss(crowd.broker)
            renewals = await self._renewals(crowd, resting[_AT_REST.name])
            ends = await crowd.end_all()
        rates = {_LOGINS.name: _COUNT / logins, _READS.name: _COUNT / reads, _ENDS.name: _COUNT / ends}
        return {**rates, **resting, **renewals, _MEMORY.name: memory}

    async def none(self) -> Mapping[str, float]:
        """A broker that nobody asks anything."""
        self.vault.new_secret_id()
        async with open_crowd(self.directory, self.vault) as crowd:
            return {**await _at_rest(crowd), _MEMORY.name: pss(crowd.broker)}

    async def hvac(self) -> Mapping[str, float]:
        """The same calls of Vault and nothing else."""
        logins = await self.bare.log_in([_reader(number) for number in range(_COUNT)], SECRET)
        reads = await self.bare.read_all(SECRET)
        broker = hvac.Client(url=self.vault.own.address, token=self.vault.own.root_token)
        renewals, ends = await self.bare.renew_all(broker), await self.bare.revoke_all(broker)
        rates = {_LOGINS.name: _COUNT / logins, _READS.name: _COUNT / reads, _ENDS.name: _COUNT / ends}
        return {**rates, _COST.name: renewals / _COUNT * 1e3}

    async def evenly(self) -> Mapping[str, float]:
        """The busiest second if all had as many: due after two thirds of the TTL, less a tenth at most."""
        return {_BUSIEST.name: _COUNT / (_TTL * (2 / 3 - 0.05))}

    async def _renewals(self, crowd: Crowd, resting: float) -> Mapping[str, float]:
        begin, before = time.time(), cpu_seconds([crowd.broker])
        await asyncio.sleep(_RENEWALS)
        end, used = time.time(), cpu_seconds([crowd.broker]) - before
        seen = self.vault.renewals(begin, end)
        seconds = Counter(int(instant) for instant in seen)
        cost = (used * 1e3 - resting * (end - begin)) / max(len(seen), 1)
        return {_COST.name: cost, _BUSIEST.name: max(seconds.values(), default=0)}


def _reader(number: int) -> Reader:
    user = f"peer{number}"
    return Reader(sandbox=sandbox_id(user, "", "0"), user=user, server="", profile="bench")


async def _at_rest(crowd: Crowd) -> dict[str, float]:
    before = cpu_seconds([crowd.broker])
    await asyncio.sleep(_REST)
    return {_AT_REST.name: (cpu_seconds([crowd.broker]) - before) / _REST * 1e3}


@asynccontextmanager
async def _opened() -> AsyncIterator[Take]:
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(scratch())
        vault = await stack.enter_async_context(open_vault(directory, "--token-ttl", f"{_TTL}s"))
        vault.put(SECRET, {"user": "reader", "password": "p" * 24})
        bare = BareHvac(vault, directory / "peer")
        stack.callback(bare.close)
        street = _Street(vault, bare, directory)
        takes = {_OURS: street.ours, _BARE: street.hvac, _NONE: street.none, _EVEN: street.evenly}

        async def take(contestant: str) -> Mapping[str, float]:
            return await takes[contestant]()

        yield take


ROWS = (
    Row(
        "secrets-500",
        "broker and control with 500 sandboxes at a real Vault",
        (_OURS, _BARE, _NONE, _EVEN),
        (_LOGINS, _READS, _ENDS, _COST, _BUSIEST, _MEMORY, _AT_REST),
        _opened,
    ),
)
