"""How do programs ask the hub who somebody is and what runs, and tell it to stop something? By its REST API.

Law: the token is a service's own, read from a 0600 file, and goes to the configured hub only; redirects are
not followed.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from ..errors import AnswerError, ConfigurationError, UnreachableError
from ..rules.reconcile import HubServer
from .pooled import PooledClient

__all__ = ["HubClient", "TokenOwner", "read_token"]

_PAGED = "application/jupyterhub-pagination+json"
_PAGE = 200
_OVERLAP = 5  # users that two pages share: who stops between them moves up those that come after
_USERS = 50  # a page: the hub does nothing else while it writes one, a third of a millisecond each


@dataclass(frozen=True, kw_only=True)
class TokenOwner:
    """Whose token it is, and what it may do, by the hub's word."""

    name: str
    kind: str
    scopes: tuple[str, ...]


def read_token(path: str) -> str:
    """The token in a file that nobody else may read. Raises ConfigurationError `control.token_*`."""
    remedy = f"Write the service's API token there: install -m 600 /dev/stdin {path}"
    try:
        status = os.stat(path)
        token = Path(path).read_text().strip()
    except OSError as error:
        message = f"The hub token's file {path} cannot be read: {error.strerror}."
        raise ConfigurationError(message, code="control.token_missing", remedy=remedy) from error
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(
            f"{path} may be read by others (mode {stat.S_IMODE(status.st_mode):o}).",
            code="control.token_exposed",
            remedy=f"chmod 600 {path}",
        )
    if not token or not token.isascii() or not token.isprintable():
        raise ConfigurationError(f"{path} holds no token.", code="control.token_missing", remedy=remedy)
    return token


class HubClient(PooledClient):
    """The hub's API at `url` (`http://127.0.0.1:PORT/hub/api`).

    Raises UnreachableError `hub.unreachable`, and AnswerError `hub.answered` with the hub's status.
    """

    def __init__(self, url: str, token: str, timeout: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=2.0)

    async def servers(self) -> tuple[HubServer, ...]:
        """Every server that runs or is about to start or stop."""
        found = []
        async for user in self._pages("sort=id&state=active"):
            for name, server in (user.get("servers") or {}).items():
                found.append(
                    HubServer(
                        user=str(user["name"]),
                        server=str(name),
                        ready=bool(server.get("ready")),
                        pending=str(server.get("pending") or ""),
                        prefix=urlsplit(str(server.get("url") or "")).path,
                    )
                )
        return tuple(found)

    async def users(self) -> frozenset[str]:
        """The names of all users, also of those without a server."""
        return frozenset([str(user["name"]) async for user in self._pages("sort=id")])

    async def stop_server(self, user: str, server: str) -> bool:
        """Ask for an end; True when it is over, False while the hub works on it; no-op if not running."""
        path = f"/users/{quote(user, safe='')}/server"
        path = f"{path}s/{quote(server, safe='')}" if server else path
        try:
            status, _ = await self._call("DELETE", path)
        except AnswerError as error:
            # 400: "is not running"; 404: no such server. Both mean that there is nothing to stop.
            if error.status in (400, 404):
                return True
            raise
        return status != 202

    async def routes(self) -> Mapping[str, str]:
        """The proxy's routing table: route specification to target."""
        found: dict[str, str] = {}
        offset = 0
        while True:
            query = f"/proxy?offset={offset}&limit={_PAGE}"
            _, page = await self._call("GET", query, headers={"Accept": _PAGED})
            for spec, route in page["items"].items():
                found[str(spec)] = str(route["target"])
            if page["_pagination"].get("next") is None:
                return found
            offset = int(page["_pagination"]["next"]["offset"])

    async def tell_activity(self, user: str, servers: Mapping[str, datetime]) -> None:
        """These servers of the user were used then; the hub keeps the newest it was told."""
        told = {name: {"last_activity": at.isoformat()} for name, at in servers.items()}
        body = {"last_activity": max(servers.values()).isoformat(), "servers": told}
        await self._call("POST", f"/users/{quote(user, safe='')}/activity", body=body)

    async def check_routes(self) -> None:
        """Let the hub compare the proxy's routes with its servers and mend them."""
        await self._call("POST", "/proxy")

    async def whose(self, token: str) -> TokenOwner | None:
        """The owner of a token that somebody else showed; None if the hub does not know it."""
        try:
            _, found = await self._call("GET", "/user", headers={"Authorization": f"token {token}"})
        except AnswerError as error:
            if error.status in (401, 403):
                return None
            raise
        granted = tuple(str(scope) for scope in found.get("scopes") or ())
        return TokenOwner(name=str(found["name"]), kind=str(found.get("kind", "")), scopes=granted)

    async def version(self) -> str:
        """JupyterHub's own."""
        _, found = await self._call("GET", "/")
        return str(found["version"])

    async def token_for(self, client: str, code: str, verifier: str) -> str:
        """The token that a login at the hub was given a code for (OAuth 2, our own token is the secret)."""
        form = {
            "grant_type": "authorization_code",
            "client_id": client,
            "client_secret": self._token,
            "code": code,
            "code_verifier": verifier,
        }
        _, found = await self._call("POST", "/oauth2/token", form=form)
        return str(found["access_token"])

    async def _pages(self, which: str) -> AsyncIterator[Mapping[str, Any]]:
        """Each user once; nobody is skipped because up to `_OVERLAP` others stop before the next page."""
        offset = 0
        seen: set[str] = set()
        while True:
            query = f"/users?{which}&offset={offset}&limit={_USERS}"
            _, page = await self._call("GET", query, headers={"Accept": _PAGED})
            for item in page["items"]:
                if str(item["name"]) not in seen:
                    seen.add(str(item["name"]))
                    yield item
            if page["_pagination"].get("next") is None:
                return
            # A hub may allow smaller pages than those that were asked for.
            offset = max(int(page["_pagination"]["next"]["offset"]) - _OVERLAP, offset + 1)

    async def _call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> tuple[int, Any]:
        own = {"Authorization": f"token {self._token}", "Accept": "application/json"}
        try:
            async with self.session().request(
                method,
                self._url + path,
                headers={**own, **(headers or {})},
                data=form,
                json=body,
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                document = await answer.json() if "json" in answer.content_type else None
                status = answer.status
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            raise UnreachableError(
                f"The hub does not answer ({type(error).__name__}).", code="hub.unreachable"
            ) from error
        if status >= 300:
            said = document.get("message", "") if isinstance(document, dict) else ""
            raise AnswerError(
                f"The hub answered {status} {said}".strip() + ".", code="hub.answered", status=status
            )
        return status, document

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(trust_env=False)
