"""What may the admin command do with secrets? Store, list, copy and end them; it reads no value back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from ..clients.broker import Copying, Whom
from ..clients.grants import StoreChange
from ..errors import ConfigurationError, RefusedError, SandboxError
from ..secret_names import check_name
from ..serving import peer_credentials
from ..wire import decode_json, encode
from .parts import Parts, VaultParts
from .store import check_fields

__all__ = ["AdminApi", "NewSecret"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")


@dataclass(frozen=True, kw_only=True)
class NewSecret:
    """Body of a put: values by field."""

    fields: Mapping[str, str] = field(repr=False)


class AdminApi:
    """Routes of the admin command's socket; a change is in the audit before it is made."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._control = parts.control

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.get("/health", self._state),
                web.get("/api/state", self._state),
                web.get("/api/secrets", self._list),
                web.put("/api/secrets/{name:.+}", self._put),
                web.delete("/api/secrets/{name:.+}", self._delete),
                web.get("/api/credentials", self._credentials),
                web.post("/api/revocations", self._revoke),
                web.get("/api/keys", self._keys),
                web.post("/api/keys", self._rotate),
                web.post("/api/copies", self._copy),
            ]
        )

    async def _state(self, request: web.Request) -> web.Response:
        await self._forget_ended()
        state = await self._store.state()
        kept = [] if self._parts.vault is None else await self._parts.vault.journal.all()
        pending = sum(item.ending for item in kept)
        held, cut_off = len(kept) - pending, sorted(self._parts.blocks.ids)
        return web.json_response({**encode(state), "held": held, "pending": pending, "cut_off": cut_off})

    async def _forget_ended(self) -> None:
        """Of those that were cut off, where control answers."""
        asked = self._parts.blocks.ids
        if asked:
            try:
                running = await self._control.running(sorted(asked))
            except SandboxError as error:
                log.warning("Control does not say which sandboxes run: %s", error)
                return
            self._parts.blocks.forget(asked - running)

    async def _credentials(self, request: web.Request) -> web.Response:
        """Accessors and lease ids, which open nothing."""
        kept = await self._vault().journal.all()
        return web.json_response({"ids": [item.id for item in kept]})

    async def _list(self, request: web.Request) -> web.Response:
        items = [encode(item) for item in await self._store.describe()]
        return web.json_response({"items": items})

    async def _put(self, request: web.Request) -> web.Response:
        name = check_name(request.match_info["name"])
        fields = check_fields(decode_json(NewSecret, await request.read()).fields)
        actor = _admin(request)
        await self._control.changing(StoreChange(actor=actor, verb="put", name=name))
        await self._store.put(name, fields, actor)
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        name = check_name(request.match_info["name"])
        await self._control.changing(StoreChange(actor=_admin(request), verb="delete", name=name))
        if not await self._store.delete(name):
            raise _absent(name)
        return web.Response(status=204)

    async def _revoke(self, request: web.Request) -> web.Response:
        """Cut off first, on disk, then end: what is read meanwhile is refused."""
        whom = decode_json(Whom, await request.read())
        if sum((bool(whom.user), bool(whom.sandbox), whom.everybody)) != 1:
            raise ConfigurationError("Name one of user, sandbox and everybody.", code="secret.revoke_whom")
        said = whom.user or whom.sandbox or "everybody"
        await self._control.changing(StoreChange(actor=_admin(request), verb="cut_off", name=said))
        sandboxes = await self._sandboxes(whom)
        self._parts.blocks.add(sandboxes)
        ended = await self._store.end(sandboxes)
        return web.json_response({"sandboxes": sorted(sandboxes), **encode(ended)})

    async def _sandboxes(self, whom: Whom) -> frozenset[str]:
        if not whom.sandbox:
            return await self._control.running_of(None if whom.everybody else whom.user)
        found = await self._control.running([whom.sandbox])
        if not found:
            remedy = "See those that run: jupyter-sandbox-admin ps"
            message = f"There is no running sandbox {whom.sandbox[:40]!r}."
            raise RefusedError(message, code="sandbox.unknown", remedy=remedy, status=404)
        return found

    async def _keys(self, request: web.Request) -> web.Response:
        signer = self._vault().signer
        return web.json_response({**signer.key_set(), "pems": signer.pems()})

    async def _rotate(self, request: web.Request) -> web.Response:
        signer = self._vault().signer
        await self._control.changing(StoreChange(actor=_admin(request), verb="rotate", name="keys"))
        return web.json_response({"kid": signer.rotate()})

    async def _copy(self, request: web.Request) -> web.Response:
        """From the embedded store; what Vault has already is kept unless it may be overwritten."""
        vault, asked = self._vault(), decode_json(Copying, await request.read())
        there = {item.name for item in await vault.store.describe()}
        mine = [item.name for item in await vault.files.describe()]
        for name in asked.names:
            if name not in mine:
                raise _absent(name)
        actor, copied, kept = _admin(request), [], []
        for name in asked.names or mine:
            if name in there and not asked.overwrite:
                kept.append(name)
                continue
            copied.append(name)
            if not asked.dry_run:
                await self._control.changing(StoreChange(actor=actor, verb="copy", name=name))
                await vault.store.put(name, (await vault.files.load(name)).fields, actor)
        return web.json_response({"copied": copied, "kept": kept})

    def _vault(self) -> VaultParts:
        if self._parts.vault is None:
            remedy = "Give setup_hub a vault=..., restart, then try again."
            raise RefusedError(
                "This site has no Vault.", code="secret.needs_vault", remedy=remedy, status=409
            )
        return self._parts.vault


def _absent(name: str) -> RefusedError:
    remedy = "See: jupyter-sandbox-admin secrets list"
    return RefusedError(f"There is no secret {name!r}.", code="secret.missing", remedy=remedy, status=404)


def _admin(request: web.Request) -> str:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    uid = peer_credentials(connection)[1] if connection is not None else -1
    return f"admin uid {uid}"
