"""What may an admin ask about datasets? See them, raise and lower tags, approve and revoke access.

Law: raising and revoking take one person and hold at once; lowering and approving take two who differ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from ..errors import ConfigurationError, ProgramError, RefusedError, SandboxError
from ..rules.audit import Entry
from ..rules.catalogue import TAGS, Dataset, Tag, highest, zone_of
from ..rules.datasets import tags_now
from ..wire import decode_json
from . import data_records, records
from .api_admin import asking, who_asks
from .data import known_of, loosened
from .data_records import PERSON, Subject, Word
from .parts import Parts
from .stopping import Stopper
from .views import timestamp

__all__ = ["ApprovalWish", "DatasetsApi", "RevocationWish", "TagWish"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TagWish:
    """Body of `raise` and `lower`."""

    to: str
    why: str


@dataclass(frozen=True, kw_only=True)
class ApprovalWish:
    """Body of `approve`: for a user or a group, until the end of a day (UTC)."""

    until: date
    why: str
    user: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class RevocationWish:
    """Body of `revoke`: of a user or a group."""

    user: str = ""
    group: str = ""


class DatasetsApi:
    """Routes of the admin's socket, and of admins' tokens."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stopper = Stopper(parts)

    def add_to(self, app: web.Application, prefix: str = "") -> None:
        """Add every route below a path."""
        one = f"{prefix}/api/datasets/{{id}}"
        app.add_routes(
            [
                web.get(f"{prefix}/api/datasets", self._list),
                web.get(one, self._show),
                web.post(f"{one}/raise", self._raise),
                web.post(f"{one}/lower", self._lower),
                web.post(f"{one}/approve", self._approve),
                web.post(f"{one}/revoke", self._revoke),
            ]
        )

    async def _list(self, request: web.Request) -> web.Response:
        found = (await self._parts.terms.book()).datasets
        tags = await self._tags()
        return web.json_response({"items": [_view(item, tags[item.name]) for item in found]})

    async def _show(self, request: web.Request) -> web.Response:
        versions, now = await self._versions(request), self._parts.clock.now()
        name, tags = versions[0].id, await self._tags()

        def find(connection: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            approvals = data_records.rows_of_approvals(connection, name, now)
            return approvals, data_records.pending_lowerings(connection, name, now)

        approvals, lowerings = await self._parts.store.run(find)
        document = {
            "versions": [_view(item, tags[item.name]) for item in versions],
            "approvals": [_plain(row) for row in approvals],
            "lowerings": [_plain(row) for row in lowerings],
        }
        return web.json_response(document)

    async def _raise(self, request: web.Request) -> web.Response:
        versions, wish = await self._versions(request), decode_json(TagWish, await request.read())
        tag, by, now = _tag(wish.to), who_asks(request), self._parts.clock.now()
        await self._parts.audit.write(_entry("dataset.raised", by, versions[0], tag, wish.why))

        def act(connection: Connection) -> bool:
            risen = [data_records.raise_tag(connection, item, tag, by, now) for item in versions]
            return any(risen)

        changed = await self._parts.store.run(act)
        stopped = await self._stop_loose(versions[0].id, by)
        return web.json_response({"changed": changed, "stopped": stopped})

    async def _lower(self, request: web.Request) -> web.Response:
        versions, wish = await self._versions(request), decode_json(TagWish, await request.read())
        tag, why, by = _tag(wish.to), _why(wish.why), _person()
        word = Word(by=by, why=why, at=self._parts.clock.now())
        done = await self._decided(
            lambda db: data_records.lower(db, versions, tag, word),
            lambda done: _entry("dataset.lowered" if done else "dataset.lowering", by, versions[0], tag, why),
        )
        return web.json_response({"done": done}, status=200 if done else 202)

    async def _approve(self, request: web.Request) -> web.Response:
        versions, wish = await self._versions(request), decode_json(ApprovalWish, await request.read())
        now, by, why = self._parts.clock.now(), _person(), _why(wish.why)
        subject = _subject(versions[0].id, wish.user, wish.group)
        until = datetime.combine(wish.until, time(), timezone.utc) + timedelta(days=1)
        if until <= now:
            message = f"until: {wish.until} is over."
            raise ConfigurationError(message, field="until", remedy="Write a day to come, 2027-01-31.")
        tags, word = await self._tags(), Word(by=by, why=why, at=now)
        tag = max((highest(tags[item.name]) for item in versions), key=TAGS.index)
        done = await self._decided(
            lambda db: data_records.approve(db, subject, tag, until, word),
            lambda done: _entry(
                "dataset.approved" if done else "dataset.approval", by, versions[0], tag, why, subject
            ),
        )
        return web.json_response({"done": done, "tag": tag}, status=200 if done else 202)

    async def _revoke(self, request: web.Request) -> web.Response:
        versions, wish = await self._versions(request), decode_json(RevocationWish, await request.read())
        subject = _subject(versions[0].id, wish.user, wish.group)
        by, now = who_asks(request), self._parts.clock.now()
        tag = highest((await self._tags())[versions[0].name])
        await self._parts.audit.write(_entry("dataset.revoked", by, versions[0], tag, "", subject))
        ended = await self._parts.store.run(lambda db: data_records.revoke(db, subject, by, now))
        return web.json_response({"revoked": ended})

    async def _decided(self, act: Callable[[Connection], bool], entry: Callable[[bool], Entry]) -> bool:
        """One word of a person: audited before it counts, and again where it was the second or is refused."""
        word = entry(False)
        await self._parts.audit.write(word)
        try:
            done = await self._parts.store.run(act)
        except RefusedError as error:
            await self._parts.audit.write(replace(word, outcome="denied", code=error.code))
            raise
        if done:
            await self._parts.audit.write(entry(True))
        return done

    async def _stop_loose(self, dataset: str, by: str) -> list[str]:
        """Stop what mounts data too openly now; one that cannot be stopped holds up no other."""
        book, now = await self._parts.terms.book(), self._parts.clock.now()
        known = await self._parts.store.run(lambda db: known_of(db, now, book, None))
        stopped: list[str] = []
        failed: list[str] = []
        for record in await self._parts.store.run(records.all_open):
            name = loosened(now, record, dataset, book, known)
            if not name:
                continue
            why = f"The dataset {name} is more guarded than it was; start the server again."
            try:
                await self._stopper.stop(record, "dataset.raised", why, by)
                stopped.append(record.id)
            except SandboxError as error:
                log.error("%s mounts %s too openly and is not stopped: %s", record.id, name, error)
                failed.append(record.id)
        if failed:
            raise ProgramError(
                f"{dataset} is raised, but these could not be stopped: {', '.join(failed)}.",
                code="dataset.not_stopped",
                remedy="Give the same command again.",
                status=503,
            )
        return stopped

    async def _tags(self) -> dict[str, tuple[Tag, ...]]:
        """The tags that hold now, by `id@version`."""
        book, now = await self._parts.terms.book(), self._parts.clock.now()
        known = await self._parts.store.run(lambda db: known_of(db, now, book, None))
        return {item.name: tags_now(item, known.recorded) for item in book.datasets}

    async def _versions(self, request: web.Request) -> list[Dataset]:
        name = request.match_info["id"]
        found = [item for item in (await self._parts.terms.book()).datasets if item.id == name]
        if not found:
            raise RefusedError(
                f"The catalogue has no dataset {name[:63]!r}.",
                code="dataset.unknown",
                remedy="List them: jupyter-sandbox-admin datasets list",
                status=404,
            )
        return found


def _view(dataset: Dataset, tags: tuple[Tag, ...]) -> dict[str, Any]:
    groups = dataset.allowed_groups
    return {
        "name": dataset.name,
        "tags": list(tags),
        "file_tags": list(dataset.tags),
        "zone": zone_of(tags),
        "uri": dataset.uri,
        "manifest": dataset.manifest,
        "owner": dataset.owner,
        "purpose": dataset.purpose,
        "expires": dataset.expires.isoformat() if dataset.expires else None,
        "allowed_groups": None if groups is None else list(groups),
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: timestamp(item) if isinstance(item, datetime) else item for key, item in row.items()}


def _entry(
    action: str, by: str, dataset: Dataset, tag: Tag, why: str, subject: Subject | None = None
) -> Entry:
    whom: dict[str, str] = {subject.kind: subject.name} if subject else {}
    detail = {"dataset": dataset.id, "tag": tag, **({"why": why} if why else {}), **whom}
    return Entry(actor=by, action=action, outcome="decided", user=whom.get("user", ""), detail=detail)


def _tag(text: str) -> Tag:
    for tag in TAGS:
        if tag == text:
            return tag
    raise ConfigurationError(
        f"to: {text[:40]!r} is not a tag.", field="to", remedy=f"Known tags: {', '.join(TAGS)}."
    )


def _person() -> str:
    """Who gives one of two words, by the hub's word: an account at the socket may be anybody's second one."""
    if not asking.get():
        raise RefusedError(
            "This takes two people, each with a token of the hub; an account of this host does not count.",
            code="dataset.no_person",
            remedy="Give the command with --token-file FILE, a file with your own token of the hub.",
            status=403,
        )
    return f"{PERSON}{asking.get()}"


def _why(text: str) -> str:
    if not text.strip():
        raise ConfigurationError("why: it is empty.", field="why", remedy="Write a sentence for the audit.")
    return " ".join(text.split())[:500]


def _subject(dataset: str, user: str, group: str) -> Subject:
    if bool(user) == bool(group):
        raise ConfigurationError(
            "user, group: it takes one of the two.", field="user", remedy="Write user or group, with a name."
        )
    return Subject(dataset=dataset, kind="user" if user else "group", name=user or group)
