"""How is a sandbox's question for a secret answered? The hub says who, control whether, the store what.

Law: the value is read only after control has allowed the read and written it down; nothing is cached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aiohttp import web

from ..clients.grants import CredentialEvent, ReadAnswer, ReadFailure, ReadRequest
from ..clients.hub import HubClient
from ..errors import RefusedError, SandboxError
from ..names import is_sandbox_id
from ..rules.bucket import Bucket
from ..rules.grants import Asker, Grant
from ..rules.identity import SANDBOX_HEADER, shown_token
from ..secret_names import ALARMS, check_name
from ..wire import decode_json, encode
from .blocks import blocked
from .parts import Parts
from .store import About, Secret

__all__ = ["SecretsApi"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
# Each read is a synced line of the audit: what a sandbox may write into everybody's audit is bounded.
_READS_A_SECOND = 1.0
_READS_AT_ONCE = 30.0
_MOST_BUCKETS = 10_000
_PRIVATE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, kw_only=True)
class _Alarm:
    """What is wrong, as one of ALARMS."""

    code: str


class SecretsApi:
    """Routes of the gateway's socket; the sandbox is the one the gateway names."""

    def __init__(self, parts: Parts, hub: HubClient) -> None:
        self._store = parts.store
        self._hub = hub
        self._control = parts.control
        self._blocks = parts.blocks
        self._buckets: dict[str, Bucket] = {}

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.get("/api/secrets", self._list),
                web.post("/api/secrets/{name:.+}/read", self._read),
                web.post("/api/secrets/{name:.+}/renew", self._renew),
                web.post("/api/secrets/{name:.+}/revoke", self._revoke),
                web.post("/api/secrets/{name:.+}/alarm", self._alarm),
            ]
        )

    async def _list(self, request: web.Request) -> web.Response:
        sandbox = _sandbox(request.headers)
        self._pace(sandbox)
        granted = await self._control.granted(sandbox, await self._asker(request.headers))
        state = await self._store.state()
        known: Mapping[str, About] = {}
        if state.ok:
            known = await self._store.about(granted.reader, granted.grants)
        document = {
            "profile": granted.profile,
            "store": encode(state),
            "items": [self._item(grant, granted.profile, known.get(grant.name)) for grant in granted.grants],
        }
        return web.json_response(document, headers=_PRIVATE)

    async def _read(self, request: web.Request) -> web.Response:
        name = _name(request, "read")
        allowed = await self._allowed(request, name)
        secret = await self._given(allowed, name)
        about = About(
            stored=True,
            version=secret.version,
            expires_at=secret.expires_at,
            renewed=secret.renewed,
        )
        document = {**self._item(allowed.grant, allowed.profile, about), "fields": dict(secret.fields)}
        return web.json_response(document, headers=_PRIVATE)

    async def _renew(self, request: web.Request) -> web.Response:
        allowed = await self._allowed(request, _name(request, "renew"), "renew")
        about = await self._store.renew(allowed.reader, allowed.grant)
        return web.json_response(self._item(allowed.grant, allowed.profile, about), headers=_PRIVATE)

    async def _revoke(self, request: web.Request) -> web.Response:
        allowed = await self._allowed(request, _name(request, "revoke"), "revoke")
        ended = await self._store.revoke(allowed.reader, allowed.grant)
        return web.json_response(encode(ended), headers=_PRIVATE)

    async def _alarm(self, request: web.Request) -> web.Response:
        """What a sandbox tells of a token that was made for it, as a line of security in the audit."""
        name = _name(request, "alarm")
        code = decode_json(_Alarm, await request.read()).code
        if code not in ALARMS:
            raise RefusedError(
                f"{code[:40]!r} is nothing to alarm about.",
                code="secret.alarm_unknown",
                remedy=f"Known: {', '.join(sorted(ALARMS))}.",
                status=400,
            )
        sandbox = _sandbox(request.headers)
        self._pace(sandbox)
        granted = await self._control.granted(sandbox, await self._asker(request.headers))
        if not any(grant.name == name and grant.kind == "vault" for grant in granted.grants):
            raise RefusedError(
                f"No Vault token {name!r} is made for this server.", code="secret.not_granted", status=403
            )
        await self._control.credential(sandbox, CredentialEvent(verb="alarm", name=name, code=code))
        log.warning("%s alarms about %s: %s", sandbox, name, code)
        return web.json_response({"alarmed": code}, headers=_PRIVATE)

    async def _allowed(
        self, request: web.Request, name: str, verb: Literal["read", "renew", "revoke"] = "read"
    ) -> ReadAnswer:
        """Control's answer, which is in the audit; a sandbox that an admin has cut off gets nothing."""
        sandbox = _sandbox(request.headers)
        self._pace(sandbox)
        asker = await self._asker(request.headers)
        allowed = await self._control.may_read(sandbox, ReadRequest(asker=asker, name=name, verb=verb))
        if self._blocks.holds(sandbox):
            await self._control.failed(sandbox, ReadFailure(name=name, code="secret.blocked"))
            raise blocked()
        return allowed

    async def _given(self, allowed: ReadAnswer, name: str) -> Secret:
        sandbox = allowed.reader.sandbox
        try:
            secret = await self._store.read(allowed.reader, allowed.grant)
        except SandboxError as error:
            await self._control.failed(sandbox, ReadFailure(name=name, code=error.code))
            raise
        if self._blocks.holds(sandbox):
            # An admin cut it off while this was on its way.
            await self._store.end([sandbox])
            await self._control.failed(sandbox, ReadFailure(name=name, code="secret.blocked"))
            raise blocked()
        log.info("%s reads %s", sandbox, name)
        return secret

    async def _asker(self, headers: Mapping[str, str]) -> Asker:
        token = shown_token(headers)
        if not token:
            return Asker(owner=None)
        owner = await self._hub.whose(token)
        return Asker(owner="") if owner is None else Asker(owner=owner.name, scopes=owner.scopes)

    def _item(self, grant: Grant, profile: str, about: About | None) -> dict[str, Any]:
        """What may be told of a grant; `about` None: the store cannot say now."""
        return {
            "name": grant.name,
            "kind": grant.kind,
            "delivery": grant.delivery,
            "host": grant.host,
            "environment": dict(grant.environment),
            "granted_by": f"profile {profile}",
            "stored": None if about is None else about.stored,
            "static": grant.static,
            "version": None if about is None else about.version,
            "changed_at": None if about is None else _timestamp(about.changed_at),
            "expires_at": None if about is None else _timestamp(about.expires_at),
            "renewed": about is not None and about.renewed,
        }

    def _pace(self, sandbox: str) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._buckets) >= _MOST_BUCKETS:
            self._buckets.clear()
        bucket = self._buckets.setdefault(sandbox, Bucket(_READS_A_SECOND, now, _READS_AT_ONCE))
        wait = bucket.wait(now)
        if wait > 0:
            raise RefusedError(
                "This server asked for secrets too often.",
                code="secret.too_many",
                remedy="Read a secret once and keep it; try again in a few seconds.",
                status=429,
            )
        bucket.take()


def _sandbox(headers: Mapping[str, str]) -> str:
    name = headers.get(SANDBOX_HEADER, "")
    if not is_sandbox_id(name):
        raise RefusedError(f"There is no running sandbox {name[:40]!r}.", code="sandbox.unknown", status=404)
    return name


def _name(request: web.Request, verb: str) -> str:
    """The name in the path, which has no other spelling: an escaped one is none."""
    name = check_name(request.match_info["name"])
    return name if request.raw_path == f"/api/secrets/{name}/{verb}" else check_name(request.raw_path)


def _timestamp(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds").replace("+00:00", "Z")
