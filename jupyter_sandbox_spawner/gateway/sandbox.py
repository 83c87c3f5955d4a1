"""What does the gateway know about one open sandbox, now?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

from ..models import EgressPolicy, GatewayEntry, GatewayInventory
from ..rules import browser
from ..rules.api_filter import ApiCall
from ..rules.bucket import Bucket
from ..rules.egress import Decision, timed_digest
from ..rules.heads import PagePolicy
from .answers import Refusal
from .boot import BootDesk
from .daily import DailyBytes
from .door import Door
from .events import Detail
from .ingress import IngressPool
from .leaving import Leaving
from .memory import Use
from .repeats import Reporter

__all__ = ["DOWNLOADS_OFF", "OpenSandbox"]

DOWNLOADS_OFF = Refusal(403, "front.downloads_off", "Downloads are off in this profile; ask your admin")

# A download is work; the heartbeats of a forgotten program take hours for as many bytes.
_EGRESS_IN_USE = 1 << 20


class OpenSandbox:
    """One sandbox's doors and counters; it is the egress proxy's account of it (egress/account.py).

    `bytes_in` went into the sandbox and `bytes_out` came out of it, through front and egress together.
    """

    def __init__(
        self,
        sandbox: str,
        entry: GatewayEntry,
        pages: PagePolicy,
        calls: dict[tuple[bytes, bytes], ApiCall],
        reporter: Reporter,
        before: Use,
    ) -> None:
        self.id = sandbox
        self.entry = entry
        self._timed = timed_digest(entry.egress)
        self.pages = pages
        self.api_calls = calls
        self._api_rate = Bucket(entry.limits.api_requests_per_second, asyncio.get_running_loop().time())
        self.reporter = reporter
        self.doors: list[Door] = []
        self.boot: BootDesk
        self.ingress: IngressPool
        self.leaving = Leaving()
        self.bytes_in = before.bytes_in
        self.bytes_out = before.bytes_out
        self.denials = before.denials
        self.front_running = 0
        self.last_activity = before.last_activity
        self.egress_used_at = before.egress_used_at
        self._enders: set[Callable[[], None]] = set()
        self._egress_day = DailyBytes(before.egress_day, before.egress_today)
        self._front_day = DailyBytes(before.front_day, before.front_today)
        self._egress_uncounted = 0

    @property
    def user(self) -> str:
        """Whose it is."""
        return self.entry.user

    @property
    def server(self) -> str:
        """The name of its server."""
        return self.entry.server

    @property
    def zone(self) -> str:
        """The zone of its data."""
        return self.entry.zone

    @property
    def policy(self) -> EgressPolicy:
        """The egress policy that holds now."""
        return self.entry.egress

    def set_policy(self, policy: EgressPolicy) -> None:
        """Replace the egress policy; what only a rule for a time opened ends with it (egress/proxy.py)."""
        self.entry = replace(self.entry, egress=policy)
        self._timed = timed_digest(policy)

    def egress_decided(self, host: str, port: int, verb: str, decision: Decision, address: str = "") -> None:
        """Audit one decision of the egress proxy."""
        detail: Detail = {
            "host": host,
            "port": port,
            "verb": verb,
            "code": decision.code,
            "rule": decision.rule,
            "address": address,
        }
        if decision.allowed:
            self.reporter.report("egress.allowed", detail)
        else:
            self.deny("egress.denied", detail)

    def egress_bytes(self, up: int, down: int) -> None:
        """Count egress bytes; up is out of the sandbox."""
        self.bytes_out += up
        self.bytes_in += down
        self._egress_day.add(up + down)
        self._egress_uncounted += up + down
        if self._egress_uncounted >= _EGRESS_IN_USE:
            self._egress_uncounted = 0
            self.egress_used_at = datetime.now(timezone.utc)

    def egress_allowance(self) -> int | None:
        """Bytes left today (UTC), both ways together; None without a cap."""
        if self.policy.bytes_per_day is None:
            return None
        return max(0, self.policy.bytes_per_day - self._egress_day.today)

    def egress_refusal(self) -> Refusal | None:
        """Why nothing more may leave or come in today; None where something may."""
        if self.egress_allowance() != 0:
            return None
        return Refusal(403, "egress.capped", "This sandbox has used up its bytes of today", True)

    def front_bytes(self, count: int) -> None:
        """Count bytes on their way to a browser."""
        self.bytes_out += count
        self._front_day.add(count)

    def front_room(self, method: bytes) -> int | None:
        """Bytes that may still go to browsers today for an answer to `method`; None without a cap."""
        return browser.room(self.entry.browser, self._front_day.today, method)

    def page_refusal(self, method: bytes, target: bytes) -> Refusal | None:
        """Why a browser may not have this at all; None where it may."""
        if not self.entry.browser.downloads and browser.is_download(target, self.entry.prefix):
            return DOWNLOADS_OFF
        return self.cap_refusal(method)

    def cap_refusal(self, method: bytes) -> Refusal | None:
        """Why nothing more may go to browsers today for an answer to `method`; None where something may."""
        if self.front_room(method) != 0:
            return None
        return Refusal(403, "front.bytes_capped", browser.capped_sentence(self.entry.browser))

    def deny(self, kind: str, detail: Detail, times: int = 1) -> None:
        """Count and audit a refusal, or so many equal ones."""
        self.denials += times
        self.reporter.report(kind, detail, times)

    def api_may_ask(self) -> bool:
        """May the sandbox call the hub's API once more? Counts the call."""
        if self._api_rate.wait(asyncio.get_running_loop().time()) > 0:
            return False
        self._api_rate.take()
        return True

    def used(self) -> None:
        """A person's request or message passed just now."""
        self.last_activity = datetime.now(timezone.utc)

    @property
    def use(self) -> Use:
        """What a restarted gateway should still know."""
        return Use(
            last_activity=self.last_activity,
            egress_used_at=self.egress_used_at,
            egress_day=self._egress_day.day,
            egress_today=self._egress_day.today,
            front_day=self._front_day.day,
            front_today=self._front_day.today,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            denials=self.denials,
        )

    async def wait_ready(self, timeout: float) -> bool:
        """Was an ingress connection seen? Waits `timeout` seconds, less when the boot is aborted."""
        signs = [
            asyncio.ensure_future(self.ingress.first.wait()),
            asyncio.ensure_future(self.boot.aborted.wait()),
        ]
        try:
            await asyncio.wait(signs, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for sign in signs:
                sign.cancel()
        return self.ingress.first.is_set()

    def on_close(self, end: Callable[[], None]) -> Callable[[], None]:
        """Call `end` when the doors close; the answer takes it off the list again."""
        self._enders.add(end)
        return lambda: self._enders.discard(end)

    async def close(self) -> None:
        """Close every door and end every connection, the browsers' too."""
        self.boot.withdraw()
        await asyncio.gather(*(door.close() for door in self.doors))
        for end in tuple(self._enders):
            end()
        self.reporter.flush()

    def inventory(self) -> GatewayInventory:
        """What other programs may see of it."""
        return GatewayInventory(
            id=self.id,
            user=self.entry.user,
            server=self.entry.server,
            prefix=self.entry.prefix,
            ready=self.ingress.was_ready,
            booted=self.boot.booted,
            connections=sum(door.connections for door in self.doors),
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            denials=self.denials,
            last_activity=self.last_activity,
            egress_used_at=self.egress_used_at,
            timed=self._timed,
        )
