"""What may be asked about room and GPUs? Offers, the board, and to give up a place in the queue."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from sqlalchemy import Connection

from ..clients.control import OfferQuestion
from ..errors import ProgramError, SandboxError
from ..gpus import GpuInventory
from ..rules.audit import Entry
from ..rules.room_words import Lack
from ..wire import decode_json, encode
from . import records, waiting
from .board import board
from .offers import Looking, may_ask_for_gpus, offers
from .parts import Parts
from .room import room_for

__all__ = ["GpuApi", "UnknownTicketError"]


class UnknownTicketError(SandboxError):
    """Nobody waits with this number."""

    code = "gpu.unknown_ticket"
    status = 404


class GpuApi:
    """Routes of the hub plugin's socket and of admins; `actor` says who an admin is, for the audit."""

    def __init__(self, parts: Parts, actor: Callable[[web.Request], str] = lambda request: "hub") -> None:
        self._parts = parts
        self._actor = actor

    def add_to_hub(self, app: web.Application) -> None:
        """Add what the hub plugin may ask for its users."""
        app.add_routes(
            [
                web.post("/api/users/{user}/offers", self._offers),
                web.get("/api/sandboxes/{id}/room/{lack:gpu|room}", self._room),
                web.delete("/api/users/{user}/tickets/{ticket:[0-9]{1,18}}", self._cancel),
            ]
        )

    def add_shared(self, app: web.Application, prefix: str) -> None:
        """Add what admins may ask, below a path."""
        app.add_routes(
            [
                web.get(f"{prefix}/api/gpu", self._board),
                web.delete(f"{prefix}/api/gpu/tickets/{{ticket:[0-9]{{1,18}}}}", self._cancel),
            ]
        )

    async def _room(self, request: web.Request) -> web.Response:
        sandbox, now = request.match_info["id"], self._parts.clock.now()
        lack: Lack = "gpu" if request.match_info["lack"] == "gpu" else "room"

        def find(connection: Connection) -> str:
            record = records.by_id(connection, sandbox)
            return "" if record is None else room_for(connection, record, lack, now)

        return web.json_response({"words": await self._parts.store.run(find)})

    async def _offers(self, request: web.Request) -> web.Response:
        body = decode_json(OfferQuestion, await request.read())
        book = await self._parts.terms.book()
        try:
            wanted = any(may_ask_for_gpus(profile) for profile in book.profiles)
            gpus = await self._parts.launcher.gpus() if wanted else GpuInventory()
        except ProgramError:
            # The form is shown without them rather than not at all.
            gpus = None
        looking = Looking(
            user=request.match_info["user"],
            server=body.server,
            groups=body.groups,
            book=book,
            gpus=gpus,
            servers_per_user=self._parts.terms.servers_per_user,
        )
        now = self._parts.clock.now()
        found = await self._parts.store.run(lambda db: offers(db, now, looking))
        return web.json_response([encode(offer) for offer in found])

    async def _board(self, request: web.Request) -> web.Response:
        gpus, now = await self._parts.launcher.gpus(), self._parts.clock.now()
        return web.json_response(await self._parts.store.run(lambda db: board(db, now, gpus)))

    async def _cancel(self, request: web.Request) -> web.Response:
        ticket, user = int(request.match_info["ticket"]), request.match_info.get("user")

        def cancel(connection: Connection) -> waiting.Owner | None:
            owner = waiting.owner_of(connection, ticket)
            if owner is None or user not in (None, owner.user):
                return None
            waiting.drop(connection, ticket)
            return owner

        owner = await self._parts.store.run(cancel)
        if owner is None:
            raise UnknownTicketError(
                f"There is no ticket {ticket}: its turn was taken, or it was given up.",
                remedy="See who waits: jupyter-sandbox-admin gpu",
            )
        await self._parts.audit.write(
            Entry(
                actor=self._actor(request),
                action="gpu.ticket",
                outcome="done",
                code="gpu.cancelled",
                user=owner.user,
                server=owner.server,
                detail={"ticket": ticket},
            ),
            security=False,
        )
        return web.Response(status=204)
