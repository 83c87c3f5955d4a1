"""Does the API for admins at the public prefix serve them, and nobody else?"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from jupyter_sandbox_spawner.control.api_admin import AdminApi
from jupyter_sandbox_spawner.control.api_public import PublicApi
from jupyter_sandbox_spawner.control.parts import Tuning
from jupyter_sandbox_spawner.control.reconciler import Reconciler
from jupyter_sandbox_spawner.rules.page_cookies import Place
from jupyter_sandbox_spawner.serving import application, loopback_socket

from .control_street import parts_of, street
from .test_control_api import ALICE, Control

PREFIX = "/hub/base/services/sandbox"
ADMIN = {"name": "root", "kind": "user", "admin": True, "scopes": ["custom:sandbox:admin"]}
Check = Callable[[str, bool], None]


class Public:
    """The loopback port that the proxy leads to, with alice's server running."""

    def __init__(self, control: Control, url: str) -> None:
        self.control = control
        self.url = url

    async def ask(
        self, path: str, token: str = "", method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """One request as the proxy passes it on; status and document."""
        if token:
            headers["Authorization"] = f"token {token}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.url}{path}", headers=headers, json=body) as answer,
        ):
            return answer.status, await answer.json() if "json" in answer.content_type else None

    @property
    def tokens(self) -> dict[str, dict[str, Any]]:
        """The hub's tokens."""
        return self.control.here.hub.tokens


@pytest.fixture
async def public() -> AsyncIterator[Public]:
    """It, with an admin's token."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="cu", dir="/tmp"))
        here = await stack.enter_async_context(street(Path(name)))
        parts = await stack.enter_async_context(parts_of(here, Tuning(settle=0, tick=0.05)))
        control = Control(here, parts)
        await control.serve(stack)
        await control.start(ALICE)
        reconciler = Reconciler(parts, control.stopper, control.lifetime)
        app = application(None)
        admin = AdminApi(parts, control.lifetime, reconciler, control.watcher)
        PublicApi(parts, admin, Place(prefix=PREFIX, hub="/hub/base/hub")).add_to(app)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = loopback_socket(0)
        await web.SockSite(runner, listener).start()
        here.hub.tokens["admin-token"] = dict(ADMIN)
        yield Public(control, f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}")


async def test_an_admin_sees_and_stops_every_sandbox(public: Public) -> None:
    """With the admin scope sandboxes, reasons and audit are read, and a stop has the admin's name."""
    status, found = await public.ask("/api/sandboxes", "admin-token")
    assert (status, [item["user"] for item in found["items"]]) == (200, ["alice"])
    status, why = await public.ask("/api/why/alice/", "admin-token")
    assert (status, why["id"]) == (200, ALICE.id)
    body = {"why": "Maintenance."}
    status, _ = await public.ask(f"/api/sandboxes/{ALICE.id}/stop", "admin-token", "POST", body)
    assert status in (200, 202)
    status, audit = await public.ask("/api/audit?user=alice&limit=5", "admin-token")
    (stop,) = [line for line in audit["items"] if line["action"] == "sandbox.stop"]
    assert (status, stop["actor"], stop["code"]) == (200, "admin root", "stop.by_admin")


async def test_an_admin_extends_from_afar(public: Public) -> None:
    """With the admin scope an end is moved, by the admin's name; without it nothing is."""
    path, body = f"/api/sandboxes/{ALICE.id}/extend", {"by": 7200, "why": "Demo.", "key": "k1"}
    public.tokens["other"] = {"name": "alice", "kind": "user", "admin": True, "scopes": ["admin:servers"]}
    status, refusal = await public.ask(path, "other", "POST", body)
    assert (status, refusal["code"]) == (403, "identity.no_admin")
    status, found = await public.ask(path, "admin-token", "POST", body)
    assert (status, found["deadline"]) == (200, "2026-11-25T14:00:00Z")
    status, refusal = await public.ask(path, "admin-token", "POST", {"by": 0})
    assert (status, refusal["code"]) == (400, "wire.invalid")
    lines = await public.control.parts.audit.lines(user="alice")
    (line,) = [line for line in lines if line["action"] == "sandbox.extend"]
    assert (line["actor"], line["detail"]["why"]) == ("admin root", "Demo.")


@pytest.mark.parametrize("scopes", [["self"], ["custom:sandbox:self!server=alice/"], ["admin:servers"], []])
async def test_a_token_without_the_scope_is_refused_and_audited(
    public: Public, control: Check, scopes: list[str]
) -> None:
    """Neither a server's token, nor a user's, nor one of a hub admin without the scope gets anything."""
    public.tokens["other"] = {"name": "alice", "kind": "user", "admin": True, "scopes": scopes}
    for path, method in (("/api/sandboxes", "GET"), (f"/api/sandboxes/{ALICE.id}/stop", "POST")):
        status, refusal = await public.ask(path, "other", method, {"why": "x"})
        assert (status, refusal["code"]) == (403, "identity.no_admin")
    lines = await public.control.parts.audit.lines(user="alice")
    assert [line["code"] for line in lines if line["outcome"] == "denied"] == ["identity.no_admin"] * 2
    control("the admin's token passes", (await public.ask("/api/sandboxes", "admin-token"))[0] == 200)


async def test_nobody_is_let_in_without_a_token(public: Public) -> None:
    """Every path answers 401 without a token, with an unknown one, with a cookie or a sandbox's header."""
    for path in ("/api/sandboxes", "/api/audit", "/api/self", "/", "/api/reconcile", "/health"):
        assert (await public.ask(path))[0] == 401
        assert (await public.ask(path, "unknown"))[0] == 401
        named = {"X-Sandbox-Id": ALICE.id, "Cookie": "jupyterhub-session-id=x; token=admin-token"}
        assert (await public.ask(path, "", **named))[0] == 401


async def test_what_is_not_for_afar_is_not_there(public: Public, control: Check) -> None:
    """Mending, admission, a sandbox's own calls and health do not exist at the public prefix."""
    for method, path in (
        ("POST", "/api/reconcile?apply=1"),
        ("POST", "/api/admissions"),
        ("GET", "/api/self"),
        ("GET", "/health"),
        ("GET", "/../../api/sandboxes"),
    ):
        assert (await public.ask(path, "admin-token", method))[0] in (404, 405)
    control("what is there answers", (await public.ask("/api/audit", "admin-token"))[0] == 200)


async def test_while_the_hub_is_away_nobody_is_believed(public: Public, control: Check) -> None:
    """Without the hub's word a token counts for nothing: 503, and it says so."""
    control("with the hub it passes", (await public.ask("/api/audit", "admin-token"))[0] == 200)
    public.control.here.hub.broken = True
    status, refusal = await public.ask("/api/audit", "admin-token")
    assert (status, refusal["code"]) in {
        (502, "hub.answered"),
        (503, "hub.unreachable"),
        (503, "hub.answered"),
    }
