"""How does the admin command ask control about datasets? By the socket as a uid, by a token as a person."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from ..settings import Site
from .unix_http import UnixClient

__all__ = ["DatasetsClient"]


class DatasetsClient(UnixClient):
    """Control's routes about datasets, typed as JSON. Raises UnreachableError, AnswerError.

    Without a `token` it asks by the admin's socket. `url` is that of the service, for a hub elsewhere.
    """

    def __init__(self, site: Site, token: str = "", url: str = "") -> None:
        super().__init__("control", site.control_socket("admin"), 60.0)
        self._token = token
        self._url = url or f"http://127.0.0.1:{site.public_port}{site.admin_prefix}"
        # The proxy knows services of a site with subdomains by the hub's own name.
        self._host = "" if url else urlsplit(site.subdomain_host).netloc

    def _new_session(self) -> aiohttp.ClientSession:
        if not self._token:
            return super()._new_session()
        headers = {"Authorization": f"token {self._token}", **({"Host": self._host} if self._host else {})}
        return aiohttp.ClientSession(headers=headers)

    async def ask(self, verb: str = "", dataset: str = "", body: Any = None) -> Any:
        """`raise`, `lower`, `approve` or `revoke` of a dataset with its body; else what is known of it."""
        path = "/api/datasets" + (f"/{quote(dataset, safe='')}" if dataset else "")
        if verb:
            path = f"{path}/{verb}"
        where = f"{self._url.rstrip('/')}{path}" if self._token else path
        return await self.call("POST" if verb else "GET", where, body)
