"""When does a program answer? Each one is asked over the socket that its callers use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from ..clients.control import control_socket
from ..clients.unix_http import UnixClient
from ..errors import ProgramError
from .installation import Installation
from .programs import PROXY_TOKEN

__all__ = ["Prober", "public_url"]

_POLL = 0.1  # seconds; a TCP port that nobody holds for a program gives no event when it opens


class Prober:
    """Asks the programs of one installation."""

    def __init__(self, installation: Installation, tokens: Mapping[str, str]) -> None:
        site = installation.site
        self._sockets = {
            "launcher": site.launcher_socket,
            "gateway": site.gateway_socket,
            "control": control_socket(site, "admin"),
            "tracking": site.tracking_socket,
            "broker": site.broker_socket("admin"),
        }
        self._urls = {
            "hub": f"{site.hub_api_url}/",
            "proxy": f"http://127.0.0.1:{site.proxy_api_port}/api/routes",
        }
        self._headers: dict[str, dict[str, str]] = {
            "hub": {},
            "proxy": {"Authorization": f"token {tokens[PROXY_TOKEN]}"},
        }

    async def probe(self, name: str) -> None:
        """Return when the program answers."""
        if name in self._sockets:
            await self._unix(name)
        else:
            await self._tcp(name)

    async def _unix(self, name: str) -> None:
        async with UnixClient(name, self._sockets[name], timeout=5.0) as client:
            while True:
                try:
                    await client.call("GET", "/health")
                    return
                except ProgramError:
                    await asyncio.sleep(_POLL)

    async def _tcp(self, name: str) -> None:
        timeout = aiohttp.ClientTimeout(total=5.0)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers[name]) as session:
            while True:
                try:
                    async with session.get(self._urls[name], allow_redirects=False) as answer:
                        if answer.status < 500:
                            return
                except (aiohttp.ClientError, asyncio.TimeoutError):
                    pass  # not listening yet; asked again below until the supervisor's deadline
                await asyncio.sleep(_POLL)


def public_url(installation: Installation) -> str:
    """The address to open in a browser on this machine."""
    site = installation.site
    if site.public_url:
        return site.public_url
    scheme = "https" if installation.tls else "http"
    host = installation.public_host
    shown = "127.0.0.1" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"{scheme}://{shown}:{site.public_port}{site.base_url}"
