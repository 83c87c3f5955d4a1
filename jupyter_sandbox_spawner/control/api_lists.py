"""What does an admin see in lists, a page at a time? Sandboxes, and hosts that were refused to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiohttp import web

from ..rules.idleness import Verdict
from ..rules.list_query import pages_of, read_denials, read_table
from .lifetime import Lifetime
from .list_records import Found, denied_page, room_of, sandbox_page
from .parts import Parts
from .records import SandboxRecord
from .views import reason, timestamp, who_and_when

__all__ = ["ListsApi"]


class ListsApi:
    """Routes of admins, on control's own socket and from afar."""

    def __init__(self, parts: Parts, lifetime: Lifetime) -> None:
        self._parts = parts
        self._lifetime = lifetime

    def add_shared(self, app: web.Application, prefix: str) -> None:
        """Add them below a path."""
        app.add_routes(
            [
                web.get(f"{prefix}/api/table", self._table),
                web.get(f"{prefix}/api/denials", self._denials),
            ]
        )

    async def _table(self, request: web.Request) -> web.Response:
        query, now = read_table(request.query), self._parts.clock.now()
        found = await self._parts.store.run(lambda db: sandbox_page(db, query, now))
        # Only what is shown is judged: thousands of others are not.
        verdicts = await self._lifetime.shown(found.page)
        items = [_row(record, found, verdicts.get(record.id)) for record in found.page]
        return web.json_response(_page(items, found.total, query.page, query.size, now))

    async def _denials(self, request: web.Request) -> web.Response:
        query, now = read_denials(request.query), self._parts.clock.now()
        total, rows = await self._parts.store.run(lambda db: denied_page(db, query))
        times = ("first_at", "last_at")
        items = [{**row, **{name: timestamp(row[name]) for name in times}} for row in rows]
        return web.json_response(_page(items, total, query.page, query.size, now))


def _page(items: list[Any], total: int, page: int, size: int, now: datetime) -> dict[str, Any]:
    pages = pages_of(total, size)
    return {"items": items, "total": total, "page": page, "size": size, "pages": pages, "now": timestamp(now)}


def _row(record: SandboxRecord, found: Found, verdict: Verdict | None) -> dict[str, Any]:
    return {
        **who_and_when(record),
        "ends_at": timestamp(verdict.at) if verdict else None,
        "ends_code": verdict.code if verdict else "",
        "ends_why": verdict.why if verdict else "",
        "used_at": timestamp(record.used_at),
        "gpus": found.devices.get(record.id, []),
        "deadline": timestamp(record.deadline),
        **room_of(record, found.held),
        "stop": reason(record),
    }
