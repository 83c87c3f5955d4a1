"""What may control ask of the broker? Whether a server that is about to start can have what it must have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from ..clients.broker import Prepared, Preparing
from ..clients.grants import Reader
from ..errors import RefusedError
from ..rules.grants import Grant
from ..wire import decode_json, encode
from .parts import Parts
from .store import missing

__all__ = ["ControlApi"]

_PATIENCE = 8.0  # seconds; a person waits for the server


class ControlApi:
    """Routes of control's socket."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes([web.post("/api/prepare", self._prepare), web.get("/api/keys", self._keys)])

    async def _prepare(self, request: web.Request) -> web.Response:
        """An error where a required secret cannot be given; else a notice where the store cannot be used."""
        asked = decode_json(Preparing, await request.read())
        required = [grant for grant in asked.grants if grant.required]
        if required:
            await asyncio.wait_for(self._check(asked.reader, required), _PATIENCE)
            return web.json_response(encode(Prepared()))
        state = await self._parts.store.state()
        notice = (
            "" if state.ok else f"Secrets cannot be read at present: {state.message} {state.remedy}".strip()
        )
        return web.json_response(encode(Prepared(notice=notice)))

    async def _check(self, reader: Reader, required: Sequence[Grant]) -> None:
        if self._parts.vault is not None:
            await self._parts.vault.store.prepare(reader, required)
            return
        known = await self._parts.store.about(reader, required)
        for grant in required:
            if not known[grant.name].stored:
                raise missing(grant.name)

    async def _keys(self, request: web.Request) -> web.Response:
        """The public keys, for Vault; control publishes them."""
        if self._parts.vault is None:
            raise RefusedError("This site has no Vault.", code="secret.needs_vault", status=404)
        return web.json_response(self._parts.vault.signer.key_set())
