"""What is an answer about the network, once it is here? Rules, denials and requests that show themselves.

Law: hosts, reasons and answers were written by others, so they are shown as plain text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from .plain_text import plain
from .view import Shown, Table, clock, when

__all__ = ["ASKABLE", "AccessRequest", "Denial", "Egress", "Requested"]

_WHY_DENIED = {
    "egress.not_allowed": "not on the allowlist",
    "egress.port_not_allowed": "another port is allowed",
    "egress.ip_literal": "an address instead of a name",
    "egress.resolved_private": "resolves to a private address",
    "egress.sni_mismatch": "TLS asks for another name",
    "egress.bad_host": "not a host name",
    "egress.bad_request": "not a proxy request",
    "egress.unresolved": "no address in DNS",
}
# What an admin can open for a while; a private address is nobody's to open by a request.
ASKABLE = frozenset(("egress.not_allowed", "egress.port_not_allowed"))
_CELL = 200  # characters
_FOR = {"sandbox": "this server", "user": "all your servers", "group": "a group of yours"}


@dataclass(frozen=True, kw_only=True)
class Denial:
    """Attempts to reach one host and port that were refused; `rule` is the one that refused, if any."""

    host: str
    port: int
    code: str
    rule: str
    count: int
    first_at: datetime
    last_at: datetime

    def place(self) -> str:
        """`example.com:443`."""
        return plain(f"{self.host}:{self.port}" if self.port else self.host or "-", _CELL)

    def reason(self) -> str:
        """Words, the rule where one refused, and the code for an admin."""
        words = _WHY_DENIED.get(self.code, "refused")
        rule = f", rule {self.rule}" if self.rule else ""
        return plain(f"{words}{rule} ({self.code})", _CELL)


@dataclass(frozen=True, kw_only=True)
class AccessRequest:
    """A request for a host. `status`: waiting, approved, denied, withdrawn, expired or revoked.

    `answer` is what the admin wrote; `scope` (sandbox, user or group) and `until` are set by an approval.
    `here`: what was given holds in this sandbox.
    """

    id: int
    host: str
    port: int
    why: str
    status: str
    asked_at: datetime
    decided_at: datetime | None
    answer: str
    scope: str | None
    until: datetime | None
    here: bool = True

    def place(self) -> str:
        """`example.com:443`."""
        return plain(f"{self.host}:{self.port}", _CELL)

    def outcome(self, now: datetime) -> str:
        """What became of it, and what the admin wrote."""
        parts = [plain(self.status, _CELL)]
        if self.status == "approved" and self.scope:
            parts.append(f"for {_FOR.get(self.scope, plain(self.scope, _CELL))}")
        if self.status == "approved" and self.until is not None:
            parts.append(f"until {clock(self.until, now)}")
        if self.status == "approved" and not self.here:
            parts.append("(not in this sandbox)")
        words = " ".join(parts)
        return f"{words}: {plain(self.answer, _CELL)}" if self.answer else words


@dataclass(frozen=True, kw_only=True, repr=False)
class Requested(Shown):
    """One request, as it stands after it was made or withdrawn."""

    request: AccessRequest

    def blocks(self) -> Iterator[str | Table]:
        """A sentence, and what follows."""
        request, now = self.request, datetime.now(timezone.utc)
        if request.status == "waiting":
            yield (
                f"Request {request.id} for {request.place()} waits for an admin since"
                f" {clock(request.asked_at, now)}."
            )
            yield f"See %sandbox egress for the answer; %sandbox egress withdraw {request.id} takes it back."
            return
        yield f"Request {request.id} for {request.place()} is {request.outcome(now)}."
        if request.status == "approved" and request.until is not None:
            yield f"It ends {when(request.until, now)}; nothing has to be restarted."


@dataclass(frozen=True, kw_only=True, repr=False)
class Egress(Shown):
    """What this sandbox may reach, what it was refused, and what was asked for; the latest first."""

    allowed: tuple[str, ...]
    denied: tuple[Denial, ...]
    requests: tuple[AccessRequest, ...] = ()

    def blocks(self) -> Iterator[str | Table]:
        """The rules, then denials and requests."""
        if self.allowed:
            yield Table([(plain(rule, _CELL),) for rule in self.allowed], ("Allowed",))
        else:
            yield "This sandbox may reach nothing outside."
        yield from self._denials()
        yield from self._requests()

    def _denials(self) -> Iterator[str | Table]:
        if not self.denied:
            yield "Nothing was denied."
            return
        latest = self.denied[0].last_at
        rows = [
            (item.place(), str(item.count), clock(item.last_at, latest), item.reason())
            for item in self.denied
        ]
        yield Table(rows, ("Denied", "Times", "Last", "Why"))
        yield 'Ask for a host that your work needs: %sandbox egress ask HOST --why "what for"'

    def _requests(self) -> Iterator[str | Table]:
        if not self.requests:
            return
        now = datetime.now(timezone.utc)
        rows = [
            (
                str(item.id),
                item.place(),
                clock(item.asked_at, now),
                plain(item.why, _CELL),
                item.outcome(now),
            )
            for item in self.requests
        ]
        yield Table(rows, ("Request", "For", "Asked", "Why", "State"))
