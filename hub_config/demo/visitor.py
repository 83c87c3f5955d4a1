"""What does a browser do with the hub? It logs in, fills in forms, follows redirects, stops a server.

Law: a visitor holds a password and cookies only; it never takes a short cut that a browser could not take.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from .pages import Page, SpawnForm, read_all_hidden, read_form, read_hidden, read_reason

__all__ = ["Refusal", "Visitor"]

_NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
_FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
Form = Mapping[str, str] | Sequence[tuple[str, str]]
_TIMEOUT = aiohttp.ClientTimeout(total=90)


@dataclass
class Refusal(Exception):
    """The hub or a server said no: HTTP status and the sentence on the page or in the JSON."""

    status: int
    reason: str

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


class Visitor:
    """One person at one browser. `base` is the public address of the hub with a closing slash.

    `connector`: how the browser finds and trusts it, where that is not as everywhere.
    """

    def __init__(
        self, base: str, name: str, password: str, connector: aiohttp.BaseConnector | None = None
    ) -> None:
        self.base = URL(base)
        self.name = name
        self._password = password
        # The demo's address is an IP address, for which aiohttp keeps cookies only when told so.
        cookies = aiohttp.CookieJar(unsafe=True)
        self.session = aiohttp.ClientSession(cookie_jar=cookies, timeout=_TIMEOUT, connector=connector)

    async def __aenter__(self) -> Visitor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    def hub(self, path: str) -> URL:
        """The URL of a page or API call of the hub; `path` is relative to `/hub/`."""
        return URL(f"{self.base}hub/{path}", encoded=True)

    def server(self, path: str, owner: str | None = None, server: str = "") -> URL:
        """The URL of something on a server (the visitor's own unless `owner` is given)."""
        place = f"user/{quote(owner or self.name)}/" + (f"{quote(server)}/" if server else "")
        return URL(f"{self.base}{place}{path}", encoded=True)

    def service(self, path: str) -> URL:
        """The URL of something below `/services/`."""
        return URL(f"{self.base}services/{path}", encoded=True)

    def xsrf(self, url: URL) -> str:
        """The XSRF token that a page at this URL would send along."""
        morsel = self.session.cookie_jar.filter_cookies(url).get("_xsrf")
        return morsel.value if morsel is not None else ""

    async def open(self, url: URL, form: Form | None = None) -> Page:
        """Navigate as a click or a form would, through every redirect; a page with status >= 400 too.

        Where the hub asks whether another person's server may know who is visiting, the answer is yes.
        """
        page = await self._navigate(url, form)
        if page.status == 200 and page.path.endswith("/hub/api/oauth2/authorize"):
            fields = [("_xsrf", read_hidden(page.text, "_xsrf"))]
            fields += [("scopes", scope) for scope in read_all_hidden(page.text, "scopes")]
            page = await self._navigate(URL(page.url, encoded=True), fields)
        return page

    async def _navigate(self, url: URL, form: Form | None) -> Page:
        method = "GET" if form is None else "POST"
        async with self.session.request(method, url, data=form, headers=_NAVIGATE) as answer:
            text = await answer.text(errors="replace")
            return Page(status=answer.status, url=str(answer.url), text=text)

    async def call(self, method: str, url: URL, body: Any = None) -> Any:
        """Call a REST API as a page's script would (cookies and XSRF header). Raises Refusal for >= 400."""
        headers = {**_FETCH, "X-XSRFToken": self.xsrf(url), "Origin": str(url.origin())}
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            raw = await answer.text()
            if answer.status >= 400:
                raise Refusal(answer.status, read_reason(raw))
            return json.loads(raw) if raw else None

    async def login(self) -> Page:
        """Fill in the login form with its XSRF token. Returns the page after it; raises Refusal."""
        form = await self.open(self.hub("login"))
        fields = {"_xsrf": read_hidden(form.text, "_xsrf")}
        fields |= {"username": self.name, "password": self._password}
        page = await self.open(self.hub("login"), fields)
        if page.status >= 400 or "/hub/login" in page.url:
            raise Refusal(page.status, read_reason(page.text))
        return page

    async def spawn_form(self) -> SpawnForm:
        """The spawn form with its profiles."""
        page = await self.open(self.hub(f"spawn/{quote(self.name)}"))
        if page.status >= 400:
            raise Refusal(page.status, read_reason(page.text))
        return read_form(page.text)

    async def spawn(self, profile: str, server: str = "") -> Page:
        """Send the spawn form. Returns the page that waits; raises Refusal when the hub says no."""
        path = f"spawn/{quote(self.name)}" + (f"/{quote(server)}" if server else "")
        url = self.hub(path)
        if not self.xsrf(url):
            await self.open(url)
        page = await self.open(url, {"_xsrf": self.xsrf(url), "profile": profile})
        if page.status >= 400:
            raise Refusal(page.status, read_reason(page.text))
        return page

    async def progress(self, server: str = "") -> AsyncIterator[dict[str, Any]]:
        """Events of the progress page until `ready` or `failed`: {"progress", "message", ...}."""
        path = f"servers/{quote(server)}/progress" if server else "server/progress"
        url = self.hub(f"api/users/{quote(self.name)}/{path}")
        async with self.session.get(url, params={"_xsrf": self.xsrf(url)}, headers=_FETCH) as answer:
            if answer.status >= 400:
                raise Refusal(answer.status, read_reason(await answer.text()))
            async for raw in answer.content:
                if raw.startswith(b"data:"):
                    event: dict[str, Any] = json.loads(raw[5:])
                    yield event
                    if event.get("ready") or event.get("failed"):
                        return

    async def start(self, profile: str, server: str = "") -> list[dict[str, Any]]:
        """Send the form and wait. Returns every progress event; raises Refusal when it failed."""
        await self.spawn(profile, server)
        events = [event async for event in self.progress(server)]
        if not events or not events[-1].get("ready"):
            raise Refusal(500, str(events[-1].get("message")) if events else "no progress event")
        return events

    async def stop(self, server: str = "") -> None:
        """Stop the server as the home page's button does; returns when the hub says that it is gone."""
        path = f"servers/{quote(server)}" if server else "server"
        await self.open(self.hub("home"))
        await self.call("DELETE", self.hub(f"api/users/{quote(self.name)}/{path}"))
        await self._wait_until_stopped(server)

    async def _wait_until_stopped(self, server: str) -> None:
        # The hub has no event for "stopped" that a browser could wait for: its pages poll as well.
        for _ in range(300):
            user = await self.call("GET", self.hub(f"api/users/{quote(self.name)}"))
            if server not in user["servers"]:
                return
            await asyncio.sleep(0.2)
        raise Refusal(504, f"the server {server!r} of {self.name} did not stop within 60 s")

    async def token(self, note: str = "demo", scopes: tuple[str, ...] = ()) -> str:
        """A hub API token of this person, as the token page makes it."""
        await self.open(self.hub("token"))
        body: dict[str, Any] = {"note": note, "expires_in": 3600}
        if scopes:
            body["scopes"] = list(scopes)
        made = await self.call("POST", self.hub(f"api/users/{quote(self.name)}/tokens"), body)
        return str(made["token"])
