"""What may the broker ask? Whether a sandbox may read a secret now; each answer is in the audit first.

Law: an answer that cannot be audited is a refusal, and secret reads never use the audit's reserve.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from ..clients.grants import (
    CredentialEvent,
    Granted,
    ReadAnswer,
    ReadFailure,
    ReadRequest,
    Running,
    StoreChange,
)
from ..errors import RefusedError, SandboxError
from ..names import is_sandbox_id
from ..rules.audit import Entry, Outcome
from ..rules.grants import Asker, Grant, Holder, ReadVerdict, decide_list, decide_read
from ..secret_names import LONGEST_NAME
from ..wire import decode, decode_json, encode
from . import records
from .parts import Parts
from .people import unknown_sandbox
from .preparing import reader_of
from .records import SandboxRecord

__all__ = ["BrokerApi"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
_LAUNCHER_TIME = 1.5  # seconds; the broker asks again in two
_OVER = ("stopped", "failed")


@dataclass(frozen=True, kw_only=True)
class _Whose:
    user: str | None


class BrokerApi:
    """Routes of the broker's socket."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.post("/api/sandboxes/{id}/grants", self._grants),
                web.post("/api/sandboxes/{id}/reads", self._read),
                web.post("/api/sandboxes/{id}/failures", self._failed),
                web.post("/api/sandboxes/{id}/credentials", self._credential),
                web.post("/api/sandboxes/running", self._running),
                web.post("/api/sandboxes/running-of", self._running_of),
                web.post("/api/secrets/changes", self._changing),
            ]
        )

    async def _grants(self, request: web.Request) -> web.Response:
        asker = decode_json(Asker, await request.read())
        record = await self._record(request)
        holder = _holder(record)
        refusal = decide_list(asker, holder)
        if refusal is not None:
            raise await self._denied(record, refusal, asker, "")
        granted = Granted(profile=holder.profile, reader=reader_of(record), grants=holder.grants)
        return web.json_response(encode(granted))

    async def _read(self, request: web.Request) -> web.Response:
        asked = decode_json(ReadRequest, await request.read())
        record = await self._record(request)
        verdict = decide_read(asked.asker, _holder(record), asked.name, asked.delivery)
        if verdict.grant is None:
            raise await self._denied(record, verdict, asked.asker, asked.name)
        detail = {
            "secret": asked.name,
            "kind": verdict.grant.kind,
            "static": verdict.grant.static,
            "delivery": asked.delivery,
            "profile": record.profile,
        }
        self._parts.audit.check()
        action = f"secret.{asked.verb}"
        allowed = _entry(record, "allowed", asked.asker.owner or "", detail, action=action)
        await self._parts.audit.write(allowed, security=False)
        # The audit took its time: what was released meanwhile gets nothing.
        if not _runs(await self._record(request)):
            raise unknown_sandbox(record.id)
        answer = ReadAnswer(profile=record.profile, reader=reader_of(record), grant=verdict.grant)
        return web.json_response(encode(answer))

    async def _running(self, request: web.Request) -> web.Response:
        asked = decode_json(Running, await request.read()).running
        found = await self._parts.store.run(lambda db: records.by_ids(db, asked))
        dead = await self._dead()
        running = tuple(record.id for record in found if _runs(record) and record.id not in dead)
        return web.json_response(encode(Running(running=running)))

    async def _dead(self) -> frozenset[str]:
        """Those that are over by the launcher's word, though their records are open while the hub is away.

        Where the launcher does not answer soon the records alone count: what lives must not lose its secrets.
        """
        try:
            items = await asyncio.wait_for(self._parts.launcher.inventory(), _LAUNCHER_TIME)
        except (SandboxError, asyncio.TimeoutError) as error:
            log.debug("The launcher was not asked who runs: %s", error)
            return frozenset()
        return frozenset(item.id for item in items if item.status.value in _OVER)

    async def _running_of(self, request: web.Request) -> web.Response:
        user = decode_json(_Whose, await request.read()).user
        found = await self._parts.store.run(records.all_open)
        running = tuple(record.id for record in found if _runs(record) and user in (None, record.user))
        return web.json_response(encode(Running(running=running)))

    async def _credential(self, request: web.Request) -> web.Response:
        event = decode_json(CredentialEvent, await request.read())
        record = await self._record(request)
        detail = {"secret": event.name[:LONGEST_NAME], "accessor": event.accessor[:LONGEST_NAME]}
        outcome: Outcome = "denied" if event.verb == "alarm" else "failed" if event.verb == "lost" else "done"
        entry = _entry(record, outcome, "broker", detail, event.code, action=f"secret.{event.verb}")
        # An alarm may use the reserve; how a sandbox could fill it is bounded by the broker's own pace.
        await self._parts.audit.write(entry, security=event.verb == "alarm")
        return web.Response(status=204)

    async def _failed(self, request: web.Request) -> web.Response:
        failure = decode_json(ReadFailure, await request.read())
        record = await self._record(request)
        entry = _entry(record, "failed", "broker", {"secret": failure.name[:LONGEST_NAME]}, failure.code)
        await self._parts.audit.write(entry, security=False)
        return web.Response(status=204)

    async def _changing(self, request: web.Request) -> web.Response:
        change = decode_json(StoreChange, await request.read())
        entry = Entry(
            actor=change.actor,
            action=f"secret.{change.verb}",
            outcome="decided",
            detail={"secret": change.name[:LONGEST_NAME]},
        )
        await self._parts.audit.write(entry)
        return web.Response(status=204)

    async def _denied(
        self, record: SandboxRecord, verdict: ReadVerdict, asker: Asker, name: str
    ) -> RefusedError:
        await self._parts.denials.denied(
            "secret",
            record.user,
            record.server,
            record.id,
            code=verdict.code,
            secret=name[:LONGEST_NAME],
            owner=asker.owner or "",
        )
        return RefusedError(verdict.message, code=verdict.code, remedy=verdict.remedy, status=verdict.status)

    async def _record(self, request: web.Request) -> SandboxRecord:
        name = request.match_info["id"]
        if not is_sandbox_id(name):
            raise unknown_sandbox(name)
        record = await self._parts.store.run(lambda db: records.by_id(db, name))
        if record is None:
            raise unknown_sandbox(name)
        return record


def _holder(record: SandboxRecord) -> Holder:
    return Holder(
        user=record.user,
        server=record.server,
        profile=record.profile,
        runs=_runs(record),
        grants=tuple(decode(Grant, item) for item in record.grants),
    )


def _entry(
    record: SandboxRecord,
    outcome: Outcome,
    actor: str,
    detail: Mapping[str, object],
    code: str = "",
    action: str = "secret.read",
) -> Entry:
    return Entry(
        actor=actor,
        action=action,
        outcome=outcome,
        user=record.user,
        server=record.server,
        sandbox=record.id,
        code=code,
        policy_digest=record.profile_digest,
        detail=detail,
    )


def _runs(record: SandboxRecord) -> bool:
    return record.status in ("admitted", "ready")
