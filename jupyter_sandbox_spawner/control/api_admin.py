"""What may an admin ask? Everything control knows, and to stop something; the command may also mend."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from ..errors import ConfigurationError, RefusedError
from ..names import is_sandbox_id
from ..rules.list_query import read_audit
from ..serving import peer_credentials
from ..wire import decode_json
from . import happenings, records
from .api_egress_admin import AdminEgressApi
from .api_gpu import GpuApi
from .api_lists import ListsApi
from .api_profiles import ProfilesApi
from .extending import AdminWish, Extender, Wish
from .found_view import found_view
from .health import Health
from .lifetime import Lifetime
from .list_records import held_by, room_of
from .parts import Parts
from .people import unknown_sandbox
from .reconciler import Reconciler
from .records import SandboxRecord
from .signals import Watcher
from .usage_report import usage_document
from .views import event_view, summary, timestamp, verdict_view
from .wish_views import extension_view

__all__ = ["AdminApi", "StopRequest", "asking", "who_asks"]

asking: ContextVar[str] = ContextVar("asking", default="")  # the admin's name by the hub's word
_PAGE = 500
_ENDED = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """Body of an admin's stop: a reason that the user will read."""

    why: str


class AdminApi:
    """Routes of the admin command's socket, and those that admins also have by their tokens."""

    def __init__(self, parts: Parts, lifetime: Lifetime, reconciler: Reconciler, watcher: Watcher) -> None:
        self._parts = parts
        self._lifetime = lifetime
        self._reconciler = reconciler
        self._watcher = watcher
        self._stopper = lifetime.stopper
        self._extender = Extender(parts)

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.get("/health", self._health),
                web.post("/api/reconcile", self._reconcile),
                web.get("/api/profiles/state", self._profiles),
                web.get("/api/policy", self._policy),
            ]
        )
        self.add_shared(app, "")

    def add_shared(self, app: web.Application, prefix: str) -> None:
        """Add what an admin may also ask from elsewhere, below a path."""
        app.add_routes(
            [
                web.get(f"{prefix}/api/sandboxes", self._list),
                web.post(f"{prefix}/api/sandboxes/{{id}}/stop", self._stop),
                web.post(f"{prefix}/api/sandboxes/{{id}}/extend", self._extend),
                web.get(f"{prefix}/api/why/{{user}}/{{server:[^/]*}}", self._why),
                web.get(f"{prefix}/api/audit", self._audit),
                web.get(f"{prefix}/api/usage", self._usage),
                web.get(f"{prefix}/api/health", self._state),
            ]
        )
        GpuApi(self._parts, who_asks).add_shared(app, prefix)
        ListsApi(self._parts, self._lifetime).add_shared(app, prefix)
        AdminEgressApi(self._parts, self._reconciler.egress, who_asks).add_shared(app, prefix)
        ProfilesApi(self._parts).add_shared(app, prefix)

    async def _health(self, request: web.Request) -> web.Response:
        trouble = self._parts.audit.trouble
        found = await self._parts.store.run(records.all_open)
        document = {"ok": not trouble, "trouble": trouble, "open": len(found)}
        return web.json_response(document, status=503 if trouble else 200)

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(await Health(self._parts).document())

    async def _policy(self, request: web.Request) -> web.Response:
        return web.json_response(self._parts.policy.status(await self._parts.terms.book()))

    async def _profiles(self, request: web.Request) -> web.Response:
        state = await self._parts.terms.state()
        return web.json_response(
            {
                "file": state.file,
                "digest": state.digest,
                "loaded_at": None if state.loaded_at is None else timestamp(state.loaded_at),
                "problem": state.problem,
                "profiles": [profile.slug for profile in state.book.profiles] if state.book else [],
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        now = self._parts.clock.now()
        since = now - _ENDED if request.query.get("ended") == "1" else None
        user, after = request.query.get("user"), request.query.get("after", "")

        def find(connection: Connection) -> list[SandboxRecord]:
            return records.recent(connection, since, _PAGE, after, user)

        found = await self._parts.store.run(find)
        following = found[-1].id if len(found) == _PAGE else None
        items = [summary(record, now) for record in found]
        return web.json_response({"items": items, "next": following, "now": timestamp(now)})

    async def _stop(self, request: web.Request) -> web.Response:
        body = decode_json(StopRequest, await request.read())
        record = await self._named(request)
        why = body.why.strip()[:500] or "An admin stopped it."
        done = await self._stopper.stop(record, "stop.by_admin", why, who_asks(request))
        self._lifetime.watch(record.id)
        return web.json_response({"id": record.id, "stopped": done}, status=200 if done else 202)

    async def _extend(self, request: web.Request) -> web.Response:
        body = decode_json(AdminWish, await request.read())
        if body.by < 1:
            raise ConfigurationError(
                f"by: {body.by} is not a number of seconds from now.", code="wire.invalid", field="by"
            )
        record = await self._named(request)
        why = " ".join(body.why.split())[:500]
        wish = Wish(actor=who_asks(request), by=body.by, key=body.key, admin=True, why=why)
        answer = await self._extender.extend(record, wish)
        if not answer.granted:
            raise RefusedError(answer.message, code=answer.code, status=409)
        if not answer.repeated:
            self._lifetime.watch(record.id)
        return web.json_response({"id": record.id, **extension_view(answer, self._parts.clock.now())})

    async def _named(self, request: web.Request) -> SandboxRecord:
        """The open sandbox of the path."""
        name = request.match_info["id"]
        record = None
        if is_sandbox_id(name):
            record = await self._parts.store.run(lambda db: records.by_id(db, name))
        if record is None or not record.is_open:
            raise unknown_sandbox(name)
        return record

    async def _why(self, request: web.Request) -> web.Response:
        user, server = request.match_info["user"], request.match_info["server"]
        record = await self._parts.store.run(lambda db: records.latest_of(db, user, server))
        if record is None:
            raise unknown_sandbox(f"{user}/{server}")
        now = self._parts.clock.now()
        held = await self._parts.store.run(lambda db: held_by(db, [record.id]))
        document: dict[str, Any] = {
            **summary(record, now),
            **room_of(record, held),
            "used_at": timestamp(record.used_at),
            "now": timestamp(now),
        }
        if record.status in ("admitted", "ready"):
            judged, traffic = await self._lifetime.verdict_of(record), self._watcher.traffic(record.id)
            document["lifetime"] = verdict_view(judged.verdict, judged.signals, now, traffic)
        events = await self._parts.store.run(lambda db: happenings.events_of(db, record.id, 0))
        document["events"] = [event_view(item) for item in events]
        return web.json_response(document)

    async def _reconcile(self, request: web.Request) -> web.Response:
        apply, users = (request.query.get(name, "0") == "1" for name in ("apply", "users"))
        found = await self._reconciler.look_around(apply=apply, urgent=apply, users=users)
        return web.json_response(found_view(found, apply))

    async def _audit(self, request: web.Request) -> web.Response:
        found, following = await self._parts.audit.search(read_audit(request.query))
        return web.json_response({"items": found, "next": following})

    async def _usage(self, request: web.Request) -> web.Response:
        return web.json_response(await usage_document(self._parts, request.query))


def who_asks(request: web.Request) -> str:
    """Who asks, for the audit: a hub user where a token said so, else the uid at the socket."""
    if asking.get():
        return f"admin {asking.get()}"
    connection = request.transport.get_extra_info("socket") if request.transport else None
    uid = peer_credentials(connection)[1] if connection is not None else -1
    return f"admin uid {uid}"
