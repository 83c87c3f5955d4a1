"""What may the admin command do with secrets? List, put and delete; it never reads a value back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from ..clients.grants import ControlBrokerClient, StoreChange
from ..errors import RefusedError
from ..secret_names import check_name
from ..serving import peer_credentials
from ..wire import decode_json, encode
from .store import SecretStore, check_fields

__all__ = ["AdminApi", "NewSecret"]


@dataclass(frozen=True, kw_only=True)
class NewSecret:
    """Body of a put: values by field."""

    fields: Mapping[str, str] = field(repr=False)


class AdminApi:
    """Routes of the admin command's socket; a change is in the audit before it is made."""

    def __init__(self, store: SecretStore, control: ControlBrokerClient) -> None:
        self._store = store
        self._control = control

    def add_to(self, app: web.Application) -> None:
        """Add every route."""
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/api/secrets", self._list),
                web.put("/api/secrets/{name:.+}", self._put),
                web.delete("/api/secrets/{name:.+}", self._delete),
            ]
        )

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(encode(await self._store.state()))

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


def _absent(name: str) -> RefusedError:
    remedy = "See: jupyter-sandbox-admin secrets list"
    return RefusedError(f"There is no secret {name!r}.", code="secret.missing", remedy=remedy, status=404)


def _admin(request: web.Request) -> str:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    uid = peer_credentials(connection)[1] if connection is not None else -1
    return f"admin uid {uid}"
