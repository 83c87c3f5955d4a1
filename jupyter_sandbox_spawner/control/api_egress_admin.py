"""What may an admin ask about hosts that users asked for? To see, approve, deny and revoke."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from ..errors import ConfigurationError
from ..rules.egress_requests import STATUSES, Terms
from ..wire import decode, decode_json
from . import egress_records
from .egress_asking import is_internal
from .egress_deciding import Answered, EgressDesk
from .egress_keeping import EgressKeeper
from .egress_lists import Page, grants, listed
from .egress_records import EgressRequest
from .egress_views import grant_view, request_view
from .parts import Parts
from .views import timestamp

__all__ = ["AdminEgressApi"]

_NUMBER = "{id:[0-9]{1,15}}"


@dataclass(frozen=True, kw_only=True)
class _Why:
    """Body of `deny` and `revoke`: words that the user reads."""

    why: str = ""


class AdminEgressApi:
    """Routes of admins; `actor` says who asks, for the audit."""

    def __init__(self, parts: Parts, keeper: EgressKeeper, actor: Callable[[web.Request], str]) -> None:
        self._parts = parts
        self._desk = EgressDesk(parts, keeper)
        self._actor = actor

    def add_shared(self, app: web.Application, prefix: str) -> None:
        """Add every route, below a path."""
        below = f"{prefix}/api/egress"
        app.add_routes(
            [
                web.get(f"{below}/requests", self._requests),
                web.post(f"{below}/requests/{_NUMBER}/approve", self._approve),
                web.post(f"{below}/requests/{_NUMBER}/deny", self._deny),
                web.get(f"{below}/grants", self._grants),
                web.post(f"{below}/grants/{_NUMBER}/revoke", self._revoke),
            ]
        )

    async def _requests(self, request: web.Request) -> web.Response:
        page, now = _page(request), self._parts.clock.now()

        def find(connection: Connection) -> tuple[list[EgressRequest], int]:
            return listed(connection, page, now), egress_records.waiting(connection)

        found, waiting = await self._parts.store.run(find)
        return web.json_response(
            {
                "items": [self._view(item) for item in found],
                "next": found[-1].id if len(found) == page.limit else None,
                "now": timestamp(now),
                "waiting": waiting,
            }
        )

    async def _approve(self, request: web.Request) -> web.Response:
        terms = _terms(await request.read())
        answered = await self._desk.approve(_number(request), terms, self._actor(request))
        return self._answer(answered)

    async def _deny(self, request: web.Request) -> web.Response:
        body = decode_json(_Why, await request.read() or b"{}")
        if not body.why.strip():
            raise ConfigurationError(
                "why: is empty.", code="wire.invalid", field="why", remedy="Say why not."
            )
        found = await self._desk.deny(_number(request), body.why, self._actor(request))
        return web.json_response({"request": self._view(found)})

    async def _grants(self, request: web.Request) -> web.Response:
        now, active = self._parts.clock.now(), request.query.get("active") == "1"
        found = await self._parts.store.run(lambda db: grants(db, active, now))
        items = [grant_view(grant, now) for grant in found]
        return web.json_response({"items": items, "now": timestamp(now)})

    async def _revoke(self, request: web.Request) -> web.Response:
        body = decode_json(_Why, await request.read() or b"{}")
        return self._answer(await self._desk.revoke(_number(request), body.why, self._actor(request)))

    def _view(self, request: EgressRequest) -> dict[str, Any]:
        internal = is_internal(self._parts, request.host, request.port)
        return request_view(request, self._parts.clock.now(), internal)

    def _answer(self, answered: Answered) -> web.Response:
        now, request = self._parts.clock.now(), answered.request
        missed = [item for item in answered.outcomes if item.code]
        return web.json_response(
            {
                "request": None if request is None else self._view(request),
                "grant": grant_view(answered.grant, now),
                "applied": len(answered.outcomes) - len(missed),
                "not_applied": [
                    {"sandbox": item.sandbox, "code": item.code, "message": item.message} for item in missed
                ],
            }
        )


def _number(request: web.Request) -> int:
    return int(request.match_info["id"])


def _terms(raw: bytes) -> Terms:
    """The body's `for` is no name that a class can have."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "for" not in body or "seconds" in body:
        raise ConfigurationError(
            "for: is missing.",
            code="wire.invalid",
            field="for",
            remedy='Send {"for": SECONDS, "scope": ...}.',
        )
    return decode(Terms, {"seconds": body.pop("for"), **body})


def _page(request: web.Request) -> Page:
    status, texts = request.query.get("status") or None, {"limit": "100", "before": "", **request.query}
    if status is not None and status not in STATUSES:
        raise _wrong("status", status, f"Write one of {', '.join(STATUSES)}.")
    numbers: dict[str, Any] = {}
    for name in ("limit", "before"):
        text = texts[name]
        if text and not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise _wrong(name, text, "Write a whole number.")
        numbers[name] = int(text) if text else None
    limit = max(1, min(numbers["limit"] or 100, 500))
    user = request.query.get("user") or None
    return Page(status=status, user=user, before=numbers["before"], limit=limit)


def _wrong(field: str, value: str, remedy: str) -> ConfigurationError:
    message = f"{field}: {value[:40]!r} is not possible."
    return ConfigurationError(message, code="wire.invalid", field=field, remedy=remedy)
