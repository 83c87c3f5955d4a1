"""How is a sandbox's question for a secret answered? The hub says who, control whether, the store what.

Law: the value is read only after control has allowed the read and written it down; nothing is cached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from ..clients.grants import ControlBrokerClient, ReadFailure, ReadRequest
from ..clients.hub import HubClient
from ..errors import RefusedError, SandboxError
from ..names import is_sandbox_id
from ..rules.bucket import Bucket
from ..rules.grants import Asker, Grant
from ..rules.identity import SANDBOX_HEADER, shown_token
from ..secret_names import check_name
from .store import Secret, SecretStore

__all__ = ["SecretsApi"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
# Each read is a synced line of the audit: what a sandbox may write into everybody's audit is bounded.
_READS_A_SECOND = 1.0
_READS_AT_ONCE = 30.0
_MOST_BUCKETS = 10_000
_PRIVATE = {"Cache-Control": "no-store"}


class SecretsApi:
    """Routes of the gateway's socket; the sandbox is the one the gateway names."""

    def __init__(self, store: SecretStore, hub: HubClient, control: ControlBrokerClient) -> None:
        self._store = store
        self._hub = hub
        self._control = control
        self._buckets: dict[str, Bucket] = {}

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.get("/api/secrets", self._list),
                web.post("/api/secrets/{name:.+}/read", self._read),
            ]
        )

    async def _list(self, request: web.Request) -> web.Response:
        sandbox = _sandbox(request.headers)
        self._pace(sandbox)
        granted = await self._control.granted(sandbox, await self._asker(request.headers))
        stored = await self._store.names()
        document = {
            "profile": granted.profile,
            "items": [
                {**self._about(grant, granted.profile), "stored": grant.name in stored}
                for grant in granted.grants
            ],
        }
        return web.json_response(document, headers=_PRIVATE)

    async def _read(self, request: web.Request) -> web.Response:
        sandbox = _sandbox(request.headers)
        name = _name(request)
        self._pace(sandbox)
        asker = await self._asker(request.headers)
        wanted = ReadRequest(asker=asker, name=name, static=self._store.static)
        allowed = await self._control.may_read(sandbox, wanted)
        try:
            secret = await self._store.read(name)
        except SandboxError as error:
            await self._control.failed(sandbox, ReadFailure(name=name, code=error.code))
            raise
        log.info("%s reads %s", sandbox, name)
        return web.json_response(self._value(allowed.grant, allowed.profile, secret), headers=_PRIVATE)

    async def _asker(self, headers: Mapping[str, str]) -> Asker:
        token = shown_token(headers)
        if not token:
            return Asker(owner=None)
        owner = await self._hub.whose(token)
        return Asker(owner="") if owner is None else Asker(owner=owner.name, scopes=owner.scopes)

    def _about(self, grant: Grant, profile: str) -> dict[str, Any]:
        return {
            "name": grant.name,
            "kind": grant.kind,
            "static": self._store.static,
            "expires_at": None,
            "granted_by": f"profile {profile}",
            "environment": dict(grant.environment),
        }

    def _value(self, grant: Grant, profile: str, secret: Secret) -> dict[str, Any]:
        return {
            **self._about(grant, profile),
            "expires_at": _timestamp(secret.expires_at),
            "fields": dict(secret.fields),
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


def _name(request: web.Request) -> str:
    """The name in the path, which has no other spelling: an escaped one is none."""
    name = check_name(request.match_info["name"])
    return name if request.raw_path == f"/api/secrets/{name}/read" else check_name(request.raw_path)


def _timestamp(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds").replace("+00:00", "Z")
