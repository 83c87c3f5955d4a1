"""What may the hub plugin ask? Admission, what became of it, and the last reason of a server."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web
from sqlalchemy import Connection

from ..clients.control import Ended, Refused, Released, Stages
from ..names import is_sandbox_id
from ..rules.admission import AdmissionRequest
from ..wire import decode_json, encode
from . import happenings, ledger, records, users
from .admission import Admissions
from .api_gpu import GpuApi
from .judging import limits_of
from .lifetime import Lifetime
from .parts import Parts
from .people import People, unknown_sandbox
from .records import SandboxRecord
from .signals import Watcher
from .stopping import Stopper
from .views import ended

__all__ = ["HubApi"]

_ENDED = timedelta(days=7)


class HubApi:
    """Routes of the hub plugin's socket."""

    def __init__(
        self, parts: Parts, lifetime: Lifetime, stopper: Stopper, watcher: Watcher, people: People
    ) -> None:
        self._parts = parts
        self._lifetime = lifetime
        self._stopper = stopper
        self._watcher = watcher
        self._admissions = Admissions(parts, lifetime.watch)
        self._people = people

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.post("/api/admissions", self._admit),
                web.post("/api/sandboxes/{id}/ready", self._ready),
                web.post("/api/sandboxes/{id}/released", self._released),
                web.delete("/api/users/{user}", self._forget_user),
                web.post("/api/users/{user}/refusals", self._refused),
                web.get("/api/users/{user}/servers", self._servers),
                web.get("/api/users/{user}/servers/{server:[^/]*}/last", self._last),
            ]
        )

        GpuApi(self._parts).add_to_hub(app)

    async def _admit(self, request: web.Request) -> web.Response:
        asked = decode_json(AdmissionRequest, await request.read())
        return web.json_response(encode(await self._admissions.admit(asked)))

    async def _ready(self, request: web.Request) -> web.Response:
        body = decode_json(Stages, await request.read())
        record = await self._record(request)
        now = self._parts.clock.now()
        await self._parts.store.run(lambda db: records.mark_ready(db, record.id, now, dict(body.stages)))
        self._lifetime.watch(record.id)
        return web.Response(status=204)

    async def _released(self, request: web.Request) -> web.Response:
        body = decode_json(Released, await request.read())
        record = await self._record(request)
        await self._stopper.release(record, body.code, body.why, body.exit_code, body.lines)
        self._watcher.forget(record.id)
        self._people.forget(record.id)
        return web.Response(status=204)

    async def _refused(self, request: web.Request) -> web.Response:
        body, user = decode_json(Refused, await request.read()), request.match_info["user"]
        await self._parts.denials.denied("admission", user, body.server, code=body.code, field=body.field)
        return web.Response(status=204)

    async def _forget_user(self, request: web.Request) -> web.Response:
        for gone in await self._stopper.forget_user(request.match_info["user"]):
            self._watcher.forget(gone)
            self._people.forget(gone)
        return web.Response(status=204)

    async def _last(self, request: web.Request) -> web.Response:
        user, server = request.match_info["user"], request.match_info["server"]
        now = self._parts.clock.now()

        def find(connection: Connection) -> Ended | None:
            record = records.latest_of(connection, user, server)
            if record is None:
                return None
            return ended(record, now, happenings.told_of(connection, [record.id]).get(record.id))

        return web.json_response(encode(await self._parts.store.run(find)))

    async def _servers(self, request: web.Request) -> web.Response:
        user, now = request.match_info["user"], self._parts.clock.now()

        soft, rules = await self._parts.limits.soft(), (await self._parts.terms.book()).lifetime
        longest = self._parts.tuning.max_age

        def find(connection: Connection) -> list[Ended]:
            found = users.newest_of_servers(connection, user, now - _ENDED)
            told = happenings.told_of(connection, [record.id for record in found])
            gpus = ledger.gpus_of(connection, [record.id for record in found if record.is_open])
            held = {
                record.id: limits_of(record, gpus.get(record.id, 0), rules, longest, now)
                for record in found
                if record.is_open
            }
            return [ended(record, now, told.get(record.id), soft, held.get(record.id)) for record in found]

        return web.json_response([encode(item) for item in await self._parts.store.run(find)])

    async def _record(self, request: web.Request) -> SandboxRecord:
        name = request.match_info["id"]
        if not is_sandbox_id(name):
            raise unknown_sandbox(name)
        record = await self._parts.store.run(lambda db: records.by_id(db, name))
        if record is None:
            raise unknown_sandbox(name)
        return record
