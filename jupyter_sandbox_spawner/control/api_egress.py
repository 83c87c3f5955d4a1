"""How does code inside a sandbox ask for a host, and see what became of it? Only by the gateway's socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from ..wire import decode_json
from . import egress_records, happenings
from .egress_asking import AskBody, WithdrawBody, ask, withdraw
from .egress_records import EgressRequest
from .egress_views import allowed_view, self_view
from .parts import Parts
from .people import People
from .records import SandboxRecord
from .views import timestamp

__all__ = ["SelfEgressApi"]

_MOST_DENIALS = 200
Reader = Callable[[web.Request], Awaitable[SandboxRecord]]


class SelfEgressApi:
    """What a sandbox may reach, what was refused to it, and its user's requests."""

    def __init__(self, parts: Parts, people: People, reader: Reader) -> None:
        self._parts = parts
        self._people = people
        self._reader = reader

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.get("/api/self/egress", self._seen),
                web.post("/api/self/egress/ask", self._ask),
                web.post("/api/self/egress/withdraw", self._withdraw),
            ]
        )

    async def _seen(self, request: web.Request) -> web.Response:
        record, now = await self._reader(request), self._parts.clock.now()

        def find(connection: Connection) -> tuple[list[dict[str, Any]], list[EgressRequest]]:
            denied = happenings.denials_of(connection, record.id, _MOST_DENIALS)
            return denied, egress_records.of_user(connection, record.user)

        found, requests = await self._parts.store.run(find)
        denied = [
            {**item, "first_at": timestamp(item["first_at"]), "last_at": timestamp(item["last_at"])}
            for item in found
        ]
        own = [self_view(record, item, now) for item in requests]
        return _answer({"allowed": allowed_view(record, now), "denied": denied, "requests": own})

    async def _ask(self, request: web.Request) -> web.Response:
        record = await self._people.sandbox(request.headers)
        actor = await self._people.actor(request.headers, record)
        found = await ask(self._parts, record, actor, decode_json(AskBody, await request.read()))
        return _answer(self_view(record, found, self._parts.clock.now()))

    async def _withdraw(self, request: web.Request) -> web.Response:
        record = await self._people.sandbox(request.headers)
        actor = await self._people.actor(request.headers, record)
        body = decode_json(WithdrawBody, await request.read())
        found = await withdraw(self._parts, record, actor, body.id)
        return _answer(self_view(record, found, self._parts.clock.now()))


def _answer(document: dict[str, Any]) -> web.Response:
    return web.json_response(document, headers={"Cache-Control": "no-store"})
