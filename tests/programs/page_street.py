"""How does a test open the admin page? Control's loopback port, a hub that logs people in, and browsers."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web

from jupyter_sandbox_spawner.control.api_admin import AdminApi
from jupyter_sandbox_spawner.control.api_public import PublicApi
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.rules.page_cookies import Place
from jupyter_sandbox_spawner.serving import application, loopback_socket

from .control_street import parts_of, street
from .test_control_api import ALICE, Control

__all__ = ["ADMIN_SCOPE", "PREFIX", "Page", "Person", "Seen", "open_page"]

PREFIX = "/services/sandbox"
ADMIN_SCOPE = "custom:sandbox:admin"
_SHELL = "<!doctype html><script type=module src=static/app.js></script>"


@dataclass(frozen=True)
class Seen:
    """One answer; headers are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes
    document: Any
    cookies: tuple[str, ...]

    @property
    def code(self) -> str:
        """The code of a refusal in JSON."""
        return str(self.document.get("code", "")) if isinstance(self.document, dict) else ""


@dataclass
class Page:
    """The loopback port that the proxy leads to, with alice's server running, and every route that it has."""

    control: Control
    port: int
    routes: list[tuple[str, str]]

    @property
    def host(self) -> str:
        """As the address bar shows it."""
        return f"127.0.0.1:{self.port}"


@dataclass
class Person:
    """One browser of one person."""

    page: Page
    name: str = "root"
    scopes: tuple[str, ...] = (ADMIN_SCOPE,)
    cookies: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Seen:
        """One request with this browser's cookies; redirects are not followed."""
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = ({"Cookie": kept} if kept else {}) | headers
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(cookie_jar=jar) as session,
            session.request(
                method, f"http://{self.page.host}{path}", headers=sent, json=body, allow_redirects=False
            ) as answer,
        ):
            raw = await answer.read()
            lines = tuple(answer.headers.getall("Set-Cookie", ()))
            document = await answer.json() if "json" in answer.content_type else None
            found = {name.lower(): text for name, text in answer.headers.items()}
        for line in lines:
            self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return Seen(answer.status, found, raw, document, lines)

    async def open(self, path: str = "/", **more: str) -> Seen:
        """Follow a link or type an address."""
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
        return await self.send("GET", f"{PREFIX}{path}", {**headers, "Accept": "text/html", **more})

    async def ask(self, path: str, method: str = "GET", body: Any = None, **more: str) -> Seen:
        """As the page's own script; an empty header is not sent."""
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "X-Sandbox-Page": "1"}
        if method != "GET":
            headers["Origin"] = f"http://{self.page.host}"
        kept = {name: text for name, text in {**headers, **more}.items() if text}
        return await self.send(method, f"{PREFIX}{path}", kept, body)

    async def sent_to_the_hub(self, path: str = "/") -> tuple[Seen, dict[str, str]]:
        """Open a page without a session: the answer, and what the hub is asked."""
        seen = await self.open(path)
        asked = urlsplit(seen.headers.get("location", ""))
        assert (seen.status, asked.path) == (302, "/hub/api/oauth2/authorize"), seen
        return seen, {name: texts[0] for name, texts in parse_qs(asked.query).items()}

    async def come_back(self, asked: dict[str, str]) -> Seen:
        """The hub knows this person, gives the service a code, and sends the browser back with it."""
        hub, token = self.page.control.here.hub, f"token-of-{self.name}-{asked['state']}"
        hub.tokens[token] = {"name": self.name, "kind": "user", "scopes": list(self.scopes)}
        hub.codes[f"code-{asked['state']}"] = token
        return await self.open(f"/oauth_callback?code=code-{asked['state']}&state={asked['state']}")

    async def login(self) -> Person:
        """Open the page and come back logged in."""
        _, asked = await self.sent_to_the_hub()
        seen = await self.come_back(asked)
        assert (seen.status, seen.headers["location"]) == (302, f"{PREFIX}/"), seen
        return self


@asynccontextmanager
async def open_page(own_host: bool = True, profiles: str = "") -> AsyncIterator[Page]:
    """The page's port; `own_host`: the hub has subdomains. With a file of profiles nothing runs."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cp", dir="/tmp")))
        pages = directory / "pages"
        pages.mkdir()
        files = {"index.html": _SHELL, "app.js": "export {};", "style.css": "p {}", "notes.txt": "secret"}
        for name, text in files.items():
            (pages / name).write_text(text)
        here = await stack.enter_async_context(street(directory))
        parts = await stack.enter_async_context(parts_of(here, Tuning(settle=0, tick=0.05), profiles))
        control = Control(here, parts)
        await control.serve(stack)
        if not profiles:
            await control.start(ALICE)
        admin = AdminApi(
            parts, control.lifetime, Reconciler(parts, control.stopper, control.lifetime), control.watcher
        )
        app = application(None)
        place = Place(prefix=PREFIX, hub="/hub", own_host=own_host)
        PublicApi(parts, admin, place, str(pages)).add_to(app)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = loopback_socket(0)
        await web.SockSite(runner, listener).start()
        routes = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource]
        yield Page(control, int(listener.getsockname()[1]), routes)
