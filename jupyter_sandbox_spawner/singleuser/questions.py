"""Which questions may a program ask about its own sandbox? These four; the answers show themselves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from secrets import token_hex
from typing import Any, TypeVar, get_args

from ..errors import UnreachableError
from ..units import format_duration, parse_duration
from .answers import EndKind, Extension, PreviousStop, Quota, Status, TimeLeft
from .door import ask, read_answer
from .notices import GivenWarning, last_save

__all__ = ["extend", "keep", "status", "time_left", "ttl", "wished"]

_Document = Mapping[str, Any]
_Answer = TypeVar("_Answer")
_SAME = 1.5  # seconds; control writes whole ones


def status() -> Status:
    """Profile, time left, quotas, network, and why the last server ended. Raises SandboxError."""
    return read_answer(_status, ask())


def ttl() -> TimeLeft:
    """When this server stops and why then. Raises SandboxError."""
    return read_answer(time_left, ask())


def extend(by: int | str | None = None) -> TimeLeft:
    """Move the end, at most as far as the profile allows; the new time left.

    `by` is counted from now, in seconds or as `"30m"`; without it the profile's own step. Raises
    RefusedError `extend.*` with the cap, ConfigurationError for what is no duration.
    """
    seconds = None if by is None else parse_duration(by, "by")
    wish = {"key": token_hex(16), **({} if seconds is None else {"by": seconds})}
    answer = wished("/extend", wish)
    note = read_answer(lambda document: _differs(document, seconds), answer)
    return read_answer(lambda document: time_left(document, note), ask())


def keep(by: int | str) -> TimeLeft:
    """Keep this server although it is not used; the new time left.

    `by` is counted from now, in seconds or as `"2h"`; 0 or `"off"`: no longer. Its other limits stay.
    Raises RefusedError `keep.*`, ConfigurationError for what is no duration.
    """
    seconds = 0 if by in (0, "off") else parse_duration(by, "by")
    answer = wished("/keep", {"by": seconds})
    note = read_answer(lambda document: _kept_less(document, seconds), answer)
    return read_answer(lambda document: time_left(document, note), ask())


def wished(path: str, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Control's answer to a wish that is the same when it is made twice. Raises SandboxError."""
    try:
        return ask(path, wish)
    except UnreachableError:
        # It may be the answer that was lost: the same wish again changes nothing that was granted.
        return ask(path, wish)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _time(text: str) -> datetime:
    # Python 3.10 does not read the Z that stands for +00:00.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _differs(document: _Document, asked: int | None) -> str:
    """A sentence where the profile gave another time than was asked for."""
    given = (_time(document["deadline"]) - _time(document["now"])).total_seconds()
    if asked is None or abs(given - asked) < 60:
        return ""
    return f"You asked for {format_duration(asked)} from now; the profile gives {format_duration(given)}."


def _kept_less(document: _Document, asked: int) -> str:
    """A sentence where it is kept for less than was asked for."""
    until = _instant(document["keep_until"])
    if until is None:
        return "It is no longer kept: idleness ends it as before."
    given = (until - _time(document["now"])).total_seconds()
    if asked - given < 60:
        return ""
    return f"You asked for {format_duration(asked)} from now; it is kept for {format_duration(given)}."


def time_left(document: _Document, note: str = "") -> TimeLeft:
    """What control's document says of the end. Raises what a document of another version makes it raise."""
    now, deadline = _time(document["now"]), _instant(document["deadline"])
    lifetime = document.get("lifetime") or {}
    expires_at = _instant(lifetime.get("ends_at")) or deadline
    kind, span = _end(document, expires_at, deadline)
    extension = document["extension"]
    return TimeLeft(
        now=now,
        expires_at=expires_at,
        left=None if expires_at is None else max((expires_at - now).total_seconds(), 0.0),
        kind=kind,
        span=span,
        deadline=deadline,
        extended=_is_extended(document, deadline),
        extension=Extension(
            possible=bool(extension["possible"]),
            until=_instant(extension["until"]),
            message=str(extension["message"]),
            left=extension.get("left"),
            cap=_instant(extension.get("cap")),
        ),
        note=note,
        rule=str(lifetime.get("rule") or ""),
        kept_until=_instant(document.get("keep_until")),
        warnings=tuple(map(_warning, document.get("warnings") or ())),
    )


def _warning(item: _Document) -> GivenWarning:
    return GivenWarning(
        told_at=_time(item["told_at"]),
        at=_instant(item["at"]),
        code=str(item["code"]),
        why=str(item["why"]),
    )


def _end(
    document: _Document, expires_at: datetime | None, deadline: datetime | None
) -> tuple[EndKind, float | None]:
    """Which limit ends it, and how long that limit is."""
    if expires_at is None:
        return "", None
    admitted, lifetime = _time(document["admitted_at"]), document.get("lifetime") or {}
    since, idle = _instant(lifetime.get("idle_since")), document.get("idle_timeout")
    kept = _instant(document.get("keep_until"))
    kind = _said_kind(lifetime) or _likely_kind(expires_at, deadline, since, idle)
    if kind == "ttl" and deadline is not None:
        return kind, float(document.get("ttl") or (deadline - admitted).total_seconds())
    if kind == "idle" and lifetime.get("rule"):  # its timeout stands in the place of the profile's
        return kind, None if kept or since is None else (expires_at - since).total_seconds()
    if kind == "idle":
        return kind, float(idle) if idle else None
    if kind == "max_age":
        started = _instant(document.get("ready_at")) or admitted
        return kind, (expires_at - started).total_seconds()
    return kind, None


def _said_kind(lifetime: _Document) -> EndKind:
    """What the server itself says, as in `warning.gpu_idle`; of a newer one it may be nothing we know."""
    said = str(lifetime.get("kind") or lifetime.get("code") or "").rpartition(".")[2]
    return next((kind for kind in get_args(EndKind) if kind and kind == said), "")


def _likely_kind(
    expires_at: datetime, deadline: datetime | None, since: datetime | None, idle: int | None
) -> EndKind:
    if deadline is not None and expires_at >= deadline:
        return "ttl"
    # A server of an earlier version, which says no kind, keeps nothing either.
    if idle and since and abs((since + timedelta(seconds=idle) - expires_at).total_seconds()) < _SAME:
        return "idle"
    return "max_age"


def _is_extended(document: _Document, deadline: datetime | None) -> bool:
    if deadline is None or not document.get("ttl"):
        return False
    return (deadline - _time(document["admitted_at"])).total_seconds() > float(document["ttl"]) + _SAME


def _status(document: _Document) -> Status:
    lifetime, stop, last = document.get("lifetime") or {}, document.get("stop"), document.get("last")
    browser = document.get("browser") or {}
    return Status(
        id=str(document["id"]),
        user=str(document["user"]),
        server=str(document["server"]),
        profile=str(document["profile"]),
        status="running" if document["status"] == "ready" else str(document["status"]),
        started_at=_instant(document["ready_at"]),
        time=time_left(document),
        quota=_quota(document, document.get("limits") or {}, document.get("usage") or {}),
        allowed=tuple(map(str, document["egress"])),
        denials=int(document["denials"]),
        downloads=bool(browser.get("downloads", True)),
        browser_bytes=browser.get("bytes_per_day"),
        why=str(lifetime.get("why") or ""),
        stopping=str(stop["why"] or stop["code"]) if stop else "",
        last=_previous(last, _time(document["now"])) if last else None,
        version=str(document.get("version") or ""),
    )


def _quota(document: _Document, limits: _Document, usage: _Document) -> Quota:
    return Quota(
        cpu=limits.get("cpu"),
        cpu_seconds=usage.get("cpu_seconds"),
        memory=limits.get("memory"),
        memory_used=usage.get("memory"),
        memory_peak=usage.get("memory_peak"),
        pids=limits.get("pids"),
        pids_used=usage.get("pids"),
        disk=limits.get("disk"),
        disk_used=_used_of_home() if limits.get("disk") else None,
        soft=tuple(map(str, document.get("soft_limits") or ())),
    )


def _used_of_home() -> int | None:
    try:
        found = shutil.disk_usage(os.path.expanduser("~"))
    except OSError:  # a home that vanished is told by %sandbox doctor
        return None
    return found.used


def _previous(last: _Document, now: datetime) -> PreviousStop | None:
    stop = last.get("stop")
    if not stop:
        return None
    at = _instant(last.get("released_at") or stop.get("decided_at"))
    began = _instant(last.get("admitted_at"))
    saved = last_save(str(last["server"]), os.environ, began, now) if began else ""
    return PreviousStop(at=at, code=str(stop["code"]), why=str(stop["why"] or ""), saved=saved)
