"""Has this sandbox used up its connections, its rate of new ones or its bytes of today?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ...errors import EgressRefusedError
from ...rules.egress import Decision
from .account import EgressAccount
from .answers import refusal

__all__ = ["Caps", "Meter"]


@dataclass
class _Bucket:
    tokens: float
    size: float
    rate: float
    at: float

    def refill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.at) * self.rate)
        self.at = now


class Caps:
    """Counts, per sandbox, connections that are open and new connections a second."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._buckets: dict[str, _Bucket] = {}

    @contextmanager
    def connection(self, account: EgressAccount) -> Iterator[None]:
        """Count one connection while it lasts; raises EgressRefusedError above the policy's number."""
        most = account.policy.max_connections
        count = self._open.get(account.id, 0)
        if count >= most:
            raise refusal(_capped(f"This sandbox already has {most} connections open."), 429)
        self._open[account.id] = count + 1
        try:
            yield
        finally:
            self._open[account.id] -= 1
            if self._open[account.id] == 0:
                del self._open[account.id]

    async def turn(self, account: EgressAccount) -> None:
        """Take one token, and wait for it where none is left: for calls whose client would not try again."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                self.spend(account, clock())
                return
            except EgressRefusedError:
                # How fast tokens come is the policy's own number; no event tells of one.
                await asyncio.sleep(1 / max(account.policy.new_connections_per_second, 1.0))

    def spend(self, account: EgressAccount, now: float) -> None:
        """Take one token for a new connection; raises EgressRefusedError where none is left."""
        rate = account.policy.new_connections_per_second
        bucket = self._buckets.get(account.id)
        if bucket is None or bucket.rate != rate:
            self._forget_full(now)
            size = max(rate, 1.0)
            bucket = self._buckets[account.id] = _Bucket(tokens=size, size=size, rate=rate, at=now)
        bucket.refill(now)
        if bucket.tokens < 1:
            raise refusal(_capped(f"This sandbox opens more than {rate:g} connections a second."), 429)
        bucket.tokens -= 1

    def _forget_full(self, now: float) -> None:
        # Only a full bucket may go: a new one in its place says the same.
        for name, bucket in list(self._buckets.items()):
            bucket.refill(now)
            if bucket.tokens >= bucket.size:
                del self._buckets[name]


class Meter:
    """Reports the bytes of one connection as they flow and stops it when today's are used up."""

    def __init__(self, account: EgressAccount) -> None:
        self._account = account

    def room(self, most: int) -> int:
        """How many of `most` bytes may be taken now; raises EgressRefusedError at zero."""
        left = self._account.egress_allowance()
        if left is None:
            return most
        if left <= 0:
            raise refusal(_capped("This sandbox has used up its bytes of today."))
        return min(most, left)

    def up(self, count: int) -> None:
        """Count bytes out of the sandbox."""
        self._account.egress_bytes(count, 0)

    def down(self, count: int) -> None:
        """Count bytes into the sandbox."""
        self._account.egress_bytes(0, count)


def _capped(message: str) -> Decision:
    return Decision(False, "egress.capped", message, "")
