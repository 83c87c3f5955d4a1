"""What may control ask of the broker? Whether a server that is about to start can have what it must have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from ..clients.broker import Prepared, Preparing
from ..clients.grants import Reader
from ..errors import RefusedError
from ..rules.grants import Grant
from ..rules.vault_answers import outage_error
from ..wire import decode_json, encode
from .parts import Parts
from .store import missing, unusable

__all__ = ["ControlApi"]

# Seconds; a person waits for the server, who reads why within ten of them.
_PATIENCE = 6.5


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
            await self._check_soon(asked.reader, required)
            return web.json_response(encode(Prepared()))
        state = await self._parts.store.state()
        notice = (
            "" if state.ok else f"Secrets cannot be read at present: {state.message} {state.remedy}".strip()
        )
        return web.json_response(encode(Prepared(notice=notice)))

    async def _check_soon(self, reader: Reader, required: Sequence[Grant]) -> None:
        try:
            await asyncio.wait_for(self._check(reader, required), _PATIENCE)
        except asyncio.TimeoutError:
            why = unusable("it did not answer in time")
            raise (why if self._parts.vault is None else outage_error("slow")) from None

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
