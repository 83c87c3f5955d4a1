"""What is told to a running sandbox, and how is it known without the database that there is nothing new?

Law: only "nothing newer than this number" is remembered; it is learned within a transaction and forgotten as
soon as one that wrote of that sandbox is over. A control that knows nothing, as after a restart, asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select

from ..clients.control import Notice
from ..names import is_sandbox_id
from . import records
from .records import SandboxRecord
from .tables import events

__all__ = ["News", "is_delayed", "live_warnings", "news_of"]

_ENDS = ("warning", "save", "stopping", "extended")
_OWN_ACT = ("egress_request.waiting", "egress_request.withdrawn")  # no news to who did it
_MOST = 20  # of the newest about an end; what was said before them is no news
_MOST_ANSWERS = 10  # of the newest to requests for hosts, which a program inside may make
_MOST_WAITING = 32  # of one sandbox
_MOST_WORDS = 500


class News:
    """The newest number of each sandbox that asked, and who waits for a newer one.

    `learn` and `changed` are called by the database's thread, which does one thing after the other.
    """

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._waiting: dict[str, dict[asyncio.Event, None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_quiet(self, sandbox: str, heard: int) -> bool:
        """Is it certain that this open sandbox has heard all there is?"""
        newest = self._newest.get(sandbox)
        return newest is not None and newest <= heard

    def learn(self, sandbox: str, newest: int) -> None:
        """An open sandbox's newest number, as the transaction that runs sees it."""
        self._newest[sandbox] = newest

    def changed(self, sandboxes: Collection[str]) -> None:
        """A transaction that wrote of these is over, whether it succeeded or not."""
        for sandbox in sandboxes:
            self._newest.pop(sandbox, None)
            if sandbox in self._waiting and self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake, sandbox)

    @contextmanager
    def waiting(self, sandbox: str) -> Iterator[asyncio.Event]:
        """Set when something of it changed since this began; the oldest of too many is set early."""
        self._loop, event = asyncio.get_running_loop(), asyncio.Event()
        waiting = self._waiting.setdefault(sandbox, {})
        waiting[event] = None
        if len(waiting) > _MOST_WAITING:
            oldest = next(iter(waiting))
            del waiting[oldest]
            oldest.set()
        try:
            yield event
        finally:
            waiting.pop(event, None)
            if not waiting and self._waiting.get(sandbox) is waiting:
                del self._waiting[sandbox]

    async def close(self, *_: object) -> None:
        """Let everybody go who waits: control ends."""
        for sandbox in list(self._waiting):
            self._wake(sandbox)

    def _wake(self, sandbox: str) -> None:
        for event in self._waiting.get(sandbox, ()):
            event.set()


def news_of(
    connection: Connection, news: News, sandbox: str, heard: int, now: datetime
) -> tuple[Notice, ...] | None:
    """Notices above `heard`, oldest first, of an open sandbox; None where it is not open."""
    record = records.by_id(connection, sandbox) if is_sandbox_id(sandbox) else None
    if record is None or not record.is_open:
        return None
    live = [notice for notice, _ in _live(connection, record, now)]
    news.learn(sandbox, live[-1].id if live else 0)
    return tuple(notice for notice in live if notice.id > heard)


def is_delayed(record: SandboxRecord, code: str, at: datetime, said_at: datetime) -> bool:
    """Is a warning of idleness, given at `said_at`, no longer true? So once it was used since, or is kept
    beyond the end at `at`. Use in general is not work on a GPU."""
    used = code == "warning.idle" and record.used_at is not None and record.used_at > said_at
    kept = record.keep_until is not None and record.keep_until > at
    return used or (kept and code in ("warning.idle", "warning.gpu_idle"))


def live_warnings(connection: Connection, sandbox: str, now: datetime) -> list[dict[str, Any]]:
    """Warnings that still matter, with `told_at`, for people to read: no end that is over, or was delayed."""
    record = records.by_id(connection, sandbox)
    return [
        {"id": notice.id, "told_at": told_at, "code": notice.code, "why": notice.why, "at": notice.at}
        for notice, told_at in (_live(connection, record, now) if record else ())
        if notice.kind == "warning"
    ]


def _live(connection: Connection, record: SandboxRecord, now: datetime) -> list[tuple[Notice, datetime]]:
    found: list[tuple[Notice, datetime]] = []
    moved = False
    for row in _newest(connection, record.id, events.c.kind.in_(_ENDS), _MOST):
        notice = _notice(row, now)
        is_over = notice.at is not None and (
            notice.at <= now or is_delayed(record, notice.code, notice.at, row.at)
        )
        if not is_over and not (moved and notice.code == "warning.ttl"):
            found.append((notice, row.at))
        moved = moved or notice.kind == "extended"
    answers = and_(
        events.c.kind == "egress_request", events.c.detail["code"].as_string().not_in(list(_OWN_ACT))
    )
    for row in _newest(connection, record.id, answers, _MOST_ANSWERS):
        until = _instant(row.detail.get("until"))
        if until is None or until > now:
            found.append((_notice(row, now), row.at))
    return sorted(found, key=lambda item: item[0].id)


def _newest(
    connection: Connection, sandbox: str, wanted: ColumnElement[bool], most: int
) -> Sequence[Row[Any]]:
    query = select(events).where(events.c.sandbox == sandbox, wanted)
    return connection.execute(query.order_by(events.c.id.desc()).limit(most)).all()


def _notice(row: Row[Any], now: datetime) -> Notice:
    detail = row.detail
    why = str(detail.get("why") or "")
    about_end = row.kind in _ENDS  # a host that is open until then is no end of the sandbox
    at = _instant(detail.get("at") or detail.get("until")) if about_end else None
    code = str(detail.get("code") or row.kind)
    return Notice(
        id=row.id, kind=row.kind, code=code, why=_sentence(row.kind, why, at, now)[:_MOST_WORDS], at=at
    )


def _sentence(kind: str, why: str, at: datetime | None, now: datetime) -> str:
    if kind == "egress_request":
        return why
    if kind == "stopping":
        return f"It is being stopped: {why}"
    if at is None:
        return why or "Its end was moved."
    shown = f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%a %d %b %H:%M} UTC"
    if kind == "extended":
        return f"Its end was moved to {shown}."
    return f"Ends at {shown}: {why[:1].lower()}{why[1:]}" if why else f"Ends at {shown}."


def _instant(text: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return instant if instant.tzinfo else None
