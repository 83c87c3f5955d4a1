"""What is an answer of control, once it is here? Typed values that show themselves.

All times are aware UTC and the server's: `left` is counted from its `now`, not from this machine's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..units import format_duration, format_size
from .notices import GivenWarning, where_files_are
from .view import Shown, Table, clock, when

__all__ = ["EndKind", "Extension", "PreviousStop", "Quota", "Status", "TimeLeft"]

EndKind = Literal["ttl", "idle", "max_age", "gpu_idle", "schedule", ""]


@dataclass(frozen=True, kw_only=True)
class Extension:
    """May the end be moved now? `until` where it may, a sentence where it may not.

    `left` is how many extensions there are, None: any number; `cap` is where they end.
    """

    possible: bool
    until: datetime | None
    message: str
    left: int | None = None
    cap: datetime | None = None

    def sentence(self, now: datetime) -> str:
        """`Can be extended to 16:19 UTC (2 left, until 20:00 UTC at most)`, or why not."""
        if not self.possible or self.until is None:
            return f"Cannot be extended now: {self.message}" if self.message else ""
        parts = [] if self.left is None else [f"{self.left} left"]
        parts += [] if self.cap is None else [f"until {clock(self.cap, now)} at most"]
        more = f" ({', '.join(parts)})" if parts else ""
        return f"Can be extended to {clock(self.until, now)}{more}: %sandbox ttl extend"


@dataclass(frozen=True, kw_only=True, repr=False)
class TimeLeft(Shown):
    """When the server stops and why then. `expires_at` and `left` (seconds) are None without a limit.

    `kind` is `ttl` (the sandbox TTL, `span` seconds before extensions), `idle` (not used for `span`),
    `gpu_idle` (its GPUs), `schedule` (nothing runs then) or `max_age`. `deadline` is the end by TTL, which
    `expires_at` may come before. `rule`: the site's rule that sets this, if one does. `kept_until`: its user
    asked that idleness does not end it before.
    """

    now: datetime
    expires_at: datetime | None
    left: float | None
    kind: EndKind
    span: float | None
    deadline: datetime | None
    extended: bool
    extension: Extension
    note: str = ""
    rule: str = ""
    kept_until: datetime | None = None
    warnings: tuple[GivenWarning, ...] = ()

    def sentence(self) -> str:
        """`Stops at 16:42 UTC, in 41 min, because sandbox TTL 8 h.`"""
        if self.expires_at is None:
            return "It has no time limit."
        reason = self.reason()
        latest = ""
        if self.deadline is not None and self.deadline != self.expires_at:
            latest = f"; {when(self.deadline, self.now)} in any case"
        return f"Stops {when(self.expires_at, self.now)}, {reason}{latest}.".replace(", .", ".")

    def reason(self) -> str:
        """`because sandbox TTL 8 h`; "" where nothing ends it."""
        span = format_duration(self.span or 0)
        rule = f"rule {self.rule}" if self.rule else ""
        of_rule = f" ({rule})" if rule else ""
        limit = ", ".join(part for part in (f"idle timeout {span}" if self.span else "", rule) if part)
        idle = f" ({limit})" if limit else ""
        return {
            "ttl": f"because sandbox TTL {span}{', extended' if self.extended else ''}",
            "idle": f"because it is not used{idle}; any use keeps it",
            "gpu_idle": f"because its GPUs do nothing{idle}; work on them keeps it",
            "schedule": f"because nothing may run here then{of_rule}",
            "max_age": f"because no server may get older here than {span}{of_rule}",
        }.get(self.kind, "")

    def blocks(self) -> Iterator[str | Table]:
        """The sentence, and what an extension would give."""
        yield self.sentence()
        yield from (warning.sentence(self.now) for warning in self.warnings)
        if self.note:
            yield self.note
        if self.kept_until is not None:
            yield f"Kept until {clock(self.kept_until, self.now)}, used or not: %sandbox keep off"
        if self.extension.possible or self.expires_at is not None:
            yield from filter(None, (self.extension.sentence(self.now),))


@dataclass(frozen=True, kw_only=True)
class PreviousStop:
    """Why the server before this one ended; `saved` says what its last request to save did."""

    at: datetime | None
    code: str
    why: str
    saved: str = ""

    def sentence(self, now: datetime) -> str:
        """One line for people."""
        at = "" if self.at is None else f" {when(self.at, now)}"
        return f"Your last server was stopped{at}, because: {self.why or self.code}"


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Cores, bytes, processes and the home's size: allowed and used; None where it is not measured.

    `soft` names the limits (`cpu`, `memory`, `pids`, `swap`) that the host's kernel does not hold.
    """

    cpu: float | None
    cpu_seconds: float | None
    memory: int | None
    memory_used: int | None
    memory_peak: int | None
    pids: int | None
    pids_used: int | None
    disk: int | None = None
    disk_used: int | None = None
    soft: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[str, str]]:
        """Rows of a table."""
        if self.cpu is not None:
            used = "" if self.cpu_seconds is None else f", {format_duration(self.cpu_seconds)} used"
            yield "CPU", f"{self.cpu:g} {'core' if self.cpu == 1 else 'cores'}{used}{self._soft('cpu')}"
        if self.memory is not None:
            peak = "" if self.memory_peak is None else f" (peak {format_size(self.memory_peak)})"
            used = "" if self.memory_used is None else f"{format_size(self.memory_used)} of "
            swap = " (swap is not limited)" if "swap" in self.soft else ""
            yield "Memory", f"{used}{format_size(self.memory)}{peak}{self._soft('memory')}{swap}"
        if self.pids is not None:
            used = "" if self.pids_used is None else f"{self.pids_used} of "
            yield "Processes", f"{used}{self.pids}{self._soft('pids')}"
        if self.disk is not None:
            used = "" if self.disk_used is None else f"{format_size(self.disk_used)} of "
            yield "Home", f"{used}{format_size(self.disk)}"

    def _soft(self, name: str) -> str:
        return " (soft limit)" if name in self.soft else ""


@dataclass(frozen=True, kw_only=True, repr=False)
class Status(Shown):
    """Everything about this server. `version` is the hub side's; empty where it does not say.

    `browser_bytes` may go to browsers a day, None without a cap.
    """

    id: str
    user: str
    server: str
    profile: str
    status: str
    started_at: datetime | None
    time: TimeLeft
    quota: Quota
    allowed: tuple[str, ...]
    denials: int
    downloads: bool
    browser_bytes: int | None
    why: str
    stopping: str
    last: PreviousStop | None
    version: str

    def blocks(self) -> Iterator[str | Table]:
        """One table."""
        now = self.time.now
        named = f" {self.server}" if self.server else ""
        since = "" if self.started_at is None else f" since {clock(self.started_at, now)}"
        network = f"{_count(len(self.allowed), 'rule')}, {_count(self.denials, 'denied host')}"
        rows = [
            ("Server", f"{self.user}{named}, profile {self.profile}"),
            ("Status", f"{self.status}{since}"),
            *self._time_rows(),
            *self.quota.rows(),
            ("Network", f"{network}: %sandbox egress"),
            *self._browser_rows(),
        ]
        yield Table(rows)
        if self.last is not None:
            yield self.last.sentence(now)
            yield from filter(None, (self.last.saved, where_files_are()))

    def _browser_rows(self) -> Iterator[tuple[str, str]]:
        limits = [] if self.downloads else ["downloads are off"]
        limits += [] if self.browser_bytes is None else [f"{format_size(self.browser_bytes)} a day"]
        if limits:
            yield "Browser", ", ".join(limits)

    def _time_rows(self) -> Iterator[tuple[str, str]]:
        if self.stopping:
            yield "Stops", f"now: {self.stopping}"
            return
        first, *rest = (block for block in self.time.blocks() if isinstance(block, str))
        yield "Time", first
        yield from (("", line) for line in rest)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
