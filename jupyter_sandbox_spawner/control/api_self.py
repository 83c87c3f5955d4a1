"""What may code inside a sandbox ask about its own sandbox? Only by the gateway's socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from .. import __version__
from ..clients.control import Claims, Notices
from ..errors import ConfigurationError, ProgramError, RefusedError
from ..models import Usage
from ..rules.profile_choices import named_datasets
from ..wire import decode_json, encode
from . import data, happenings, records, users
from .api_egress import SelfEgressApi
from .egress_views import allowed_view
from .extending import Extender, ExtensionWish, Wish, possible_extension
from .keeping import KeepWish, keep_now, kept_until
from .lifetime import Lifetime
from .notices import News, live_warnings, news_of
from .parts import Parts
from .people import SANDBOX_HEADER, People, unknown_sandbox
from .records import SandboxRecord
from .signals import Watcher
from .stopping import Stopper
from .views import data_view, line_view, previous_view, reason, summary, timestamp, verdict_view
from .wish_views import extension_view, possible_view

__all__ = ["SelfApi"]

_MOST_EVENTS = 200
_LONGEST_WAIT = 60  # seconds; the door waits somewhat longer
_HIGHEST = 1 << 53
_MOST_CHOSEN = 1000  # sandboxes whose options are kept here


class SelfApi:
    """Routes of the gateway's socket; the sandbox is the one the gateway names, never one in a path."""

    def __init__(
        self, parts: Parts, people: People, lifetime: Lifetime, stopper: Stopper, watcher: Watcher
    ) -> None:
        self._parts = parts
        self._people = people
        self._lifetime = lifetime
        self._stopper = stopper
        self._watcher = watcher
        self._extender = Extender(parts)
        self._news = News()
        parts.store.listen(self._news.changed)
        self._chosen: dict[str, Mapping[str, str] | None] = {}  # read once: it never changes

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.on_shutdown.append(self._news.close)
        app.add_routes(
            [
                web.get("/api/self", self._self),
                web.post("/api/self/extend", self._extend),
                web.post("/api/self/keep", self._keep),
                web.post("/api/self/stop", self._stop),
                web.post("/api/self/claims", self._claims),
                web.get("/api/self/events", self._events),
                web.get("/api/self/audit", self._audit),
            ]
        )
        SelfEgressApi(self._parts, self._people, self._reader).add_to(app)

    async def _self(self, request: web.Request) -> web.Response:
        record = await self._reader(request)
        judged, traffic = await self._lifetime.verdict_of(record), self._watcher.traffic(record.id)
        now = self._parts.clock.now()  # nothing that was judged is of later than the answer
        spec = record.spec
        document = {
            **summary(record, now),
            "now": timestamp(now),
            "version": __version__,
            "ttl": spec.get("ttl"),
            "lifetime": verdict_view(judged.verdict, judged.signals, now, traffic),
            "extension": possible_view(await possible_extension(self._parts, record)),
            "keep_until": timestamp(kept_until(record, now)),
            "limits": spec.get("resources"),
            "runtime": spec.get("runtime"),
            "isolation": spec.get("isolation"),
            "soft_limits": list(await self._parts.limits.soft()),
            "egress": allowed_view(record, now),
            "browser": spec.get("browser"),
            **await self._data(record),
            "usage": await self._usage(record),
            "denials": len(await self._parts.store.run(lambda db: happenings.denials_of(db, record.id))),
            "warnings": await self._warnings(record, now),
            "last": await self._parts.store.run(lambda db: _last(db, record, now)),
        }
        return _answer(document)

    async def _extend(self, request: web.Request) -> web.Response:
        record = await self._people.sandbox(request.headers)
        actor = await self._people.actor(request.headers, record)
        asked = decode_json(ExtensionWish, await request.read() or b"{}")
        answer = await self._extender.extend(record, Wish(actor=actor, by=asked.by, key=asked.key))
        if not answer.granted:
            raise RefusedError(answer.message, code=answer.code, status=409)
        if not answer.repeated:
            self._lifetime.watch(record.id)
        return _answer(extension_view(answer, self._parts.clock.now()))

    async def _keep(self, request: web.Request) -> web.Response:
        record = await self._people.sandbox(request.headers)
        actor = await self._people.actor(request.headers, record)
        wish = decode_json(KeepWish, await request.read())
        answer = await keep_now(self._parts, record, actor, wish.by)
        if not answer.granted:
            status = 429 if answer.code == "keep.too_often" else 409
            raise RefusedError(answer.message, code=answer.code, status=status)
        if answer.changed:
            self._lifetime.watch(record.id)
        now = timestamp(self._parts.clock.now())
        return _answer({"keep_until": timestamp(answer.until), "now": now})

    async def _stop(self, request: web.Request) -> web.Response:
        record = await self._people.sandbox(request.headers)
        actor = await self._people.actor(request.headers, record)
        await self._stopper.stop(record, "stop.by_user", f"It was stopped by {actor} from inside.", actor)
        self._lifetime.watch(record.id)
        current = await self._parts.store.run(lambda db: records.by_id(db, record.id))
        return _answer({"stop": reason(current or record)}, status=202)

    async def _claims(self, request: web.Request) -> web.Response:
        sandbox = request.headers.get(SANDBOX_HEADER, "")
        claims = decode_json(Claims, await request.read())
        heard = min(max(claims.heard, 0), _HIGHEST)
        notices = Notices()
        if not self._news.is_quiet(sandbox, heard):
            now = self._parts.clock.now()
            found = await self._parts.store.run(lambda db: news_of(db, self._news, sandbox, heard, now))
            if found is None:
                raise unknown_sandbox(sandbox)
            notices = Notices(notices=found)
        self._watcher.claim(sandbox, claims)
        return _answer(encode(notices))

    async def _events(self, request: web.Request) -> web.Response:
        record = await self._reader(request)
        after, patience = _number(request, "after", 0), _number(request, "timeout", 0)

        async def look() -> list[dict[str, Any]]:
            return await self._parts.store.run(
                lambda db: happenings.events_of(db, record.id, after, _MOST_EVENTS)
            )

        with self._news.waiting(record.id) as changed:  # from before the look: nothing is missed between
            found = await look()
            if not found and patience:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), min(patience, _LONGEST_WAIT))
                    found = await look()
        items = [{**item, "at": timestamp(item["at"])} for item in found]
        now = timestamp(self._parts.clock.now())
        return _answer({"items": items, "next": items[-1]["id"] if items else after, "now": now})

    async def _audit(self, request: web.Request) -> web.Response:
        record = await self._reader(request)
        before = _number(request, "before", 0) or None
        found = await self._parts.audit.lines(user=record.user, limit=_MOST_EVENTS, before=before)
        since = await self._parts.store.run(lambda db: users.began_anew(db, record.user))
        # Lines of a deleted user of the same name are not this person's.
        own = [line for line in found if since is None or _instant(line) > since]
        names = sorted({line["subject"]["sandbox"] for line in own} - {""})
        zones = await self._parts.store.run(
            lambda db: {item.id: item.zone for item in records.by_ids(db, names)}
        )
        items = [line_view(line, record, zones) for line in own]
        return _answer({"items": items, "next": own[-1]["seq"] if own and len(own) == len(found) else None})

    async def _reader(self, request: web.Request) -> SandboxRecord:
        record = await self._people.sandbox(request.headers)
        await self._people.reader(request.headers, record)
        return record

    async def _data(self, record: SandboxRecord) -> dict[str, Any]:
        """Zone and datasets: what is mounted, and what the profile names beside that, with the reason.

        Of an adopted sandbox nobody knows what it mounts.
        """
        spec = record.known_spec()
        if spec is None:
            return {"zone": record.zone or "", "datasets": [], "left_out": []}
        book, now = await self._parts.terms.book(), self._parts.clock.now()
        profile = book.profile(record.profile)
        options = await self._options(record) if profile and profile.options else None
        named = named_datasets(profile, options, record.user, record.groups) if profile else ()
        asked = data.Asked(user=record.user, groups=tuple(record.groups), names=named)
        verdict = await self._parts.store.run(lambda db: data.look(db, now, book, asked))
        return data_view(spec, verdict, book.datasets)

    async def _options(self, record: SandboxRecord) -> Mapping[str, str] | None:
        """What was chosen at the start, by the audit's line of its admission; None without that line."""
        if record.id not in self._chosen:
            lines = await self._parts.audit.lines(sandbox=record.id, limit=1000)
            found = (line["detail"].get("options", {}) for line in lines if line["action"] == "admission")
            self._chosen[record.id] = next(found, None)
            while len(self._chosen) > _MOST_CHOSEN:
                del self._chosen[next(iter(self._chosen))]
        return self._chosen[record.id]

    async def _warnings(self, record: SandboxRecord, now: datetime) -> list[dict[str, Any]]:
        found = await self._parts.store.run(lambda db: live_warnings(db, record.id, now))
        return [
            {**item, "told_at": timestamp(item["told_at"]), "at": timestamp(item["at"])} for item in found
        ]

    async def _usage(self, record: SandboxRecord) -> Any:
        try:
            usage: Usage = await self._parts.launcher.usage(record.id)
        except ProgramError:
            return None  # the status of the rest is worth showing while the launcher is away
        return encode(usage)


def _last(connection: Connection, record: SandboxRecord, now: datetime) -> dict[str, Any] | None:
    before = records.previous_of(connection, record)
    if before is None:
        return None
    told = happenings.told_of(connection, [before.id]).get(before.id)
    return previous_view(record, before, now, told.lines if told else "")


def _instant(line: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(line["time"].replace("Z", "+00:00"))  # Python 3.10 knows no Z


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ConfigurationError(f"{name}: {text[:40]!r} is not a number.", code="wire.invalid", field=name)
    return int(text)


def _answer(document: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(document, status=status, headers={"Cache-Control": "no-store"})
