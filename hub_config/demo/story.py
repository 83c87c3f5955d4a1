"""What happens to a person who uses the product for the first time? Steps in order, each with its proof.

Law: a step raises when its proof is missing; what it returns is what the table shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from jupyter_sandbox_spawner.clients.launcher import LauncherClient

from . import cells, proofs
from .endings import Crashes, Minute
from .kernel import Kernel
from .leftovers import sandbox_traces
from .pages import read_endings
from .programs import PROGRAMS
from .running import DemoError, RunningSite
from .stages import describe_stages, logged_shares, shares
from .tracking import log_run, open_pages
from .upstream import INDEX_HOST, MIRROR_HOST
from .visitor import Refusal, Visitor

__all__ = ["Step", "Story"]


@dataclass(frozen=True)
class Step:
    """One line of the table."""

    name: str
    ok: bool
    detail: str
    seconds: float


@dataclass
class Story:
    """Alice works, bob tries to get in, the admin looks, everything ends.

    `told` is called with each step as it ends.
    """

    running: RunningSite
    told: Callable[[Step], None]
    steps: list[Step] = field(default_factory=list)
    sandbox: str = ""
    kernel: Kernel | None = None
    known: set[str] = field(default_factory=set)

    async def play(self) -> list[Step]:
        """Play every step; one that fails does not end the story unless the rest needs it."""
        async with self.running.visitor("alice") as alice, self.running.visitor("bob") as bob:
            if await self._log_in(alice, bob):
                # It lives while the rest of the story is played, and ends by itself.
                minute = Minute.begin(bob)
                await self._step("a second person's one-minute server", minute.started())
                self.known = self._doors()
                if await self._first_server(alice, bob):
                    await self._second_server(alice, bob)
                    await self._step("stop", self._stop(alice))
                    await self._crashes(alice)
                await self._step("time is up: reason on the page", minute.culled())
                await self._step("reason in the next server", minute.told())
        return self.steps

    async def _log_in(self, alice: Visitor, bob: Visitor) -> bool:
        steps = (
            await self._step("login form with its XSRF token", self._login(alice)),
            await self._step("form shows the profiles", self._form(alice)),
            await self._step("a second person logs in", self._login(bob)),
            await self._step("forbidden profile refused by form", self._forbidden_by_form(bob)),
            await self._step("forbidden profile refused by API", self._forbidden_by_api(bob)),
        )
        return steps[0]

    async def _first_server(self, alice: Visitor, bob: Visitor) -> bool:
        if not await self._step("spawn with stages", self._spawn(alice)):
            return False
        await self._step("page", self._page(alice))
        if not await self._step("kernel over WebSocket", self._cell(alice, cells.HELLO, proofs.hello)):
            return False
        if self.running.has_tracking:
            await self._step("a run on MLflow, nothing set up", self._track(alice))
            await self._step("MLflow in the browser: one's own runs", open_pages(alice, bob))
        await self._step("secrets are listed without values", self._secrets(alice))
        await self._step("a cell uses one, the next has it no more", self._use_secret(alice))
        await self._step("%pip install through the proxy", self._install(alice))
        return await self._step("server restart", self._restart(alice))

    async def _second_server(self, alice: Visitor, bob: Visitor) -> None:
        await self._step("import after the restart", self._cell(alice, cells.IMPORT, proofs.imported))
        await self._step("limits: shown as hard or soft", self._limits(alice))
        await self._step("allowed host answers", self._cell(alice, cells.ALLOWED, proofs.allowed))
        await self._step("refused host: 403, why", self._cell(alice, cells.REFUSED, proofs.refused))
        await self._step("direct TCP, UDP and DNS dead", self._cell(alice, cells.DEAD, proofs.dead))
        await self._step("bob locked out (HTTP, WebSocket)", self._locked_out(alice, bob))
        await self._step("admin let in", self._admin())

    async def _crashes(self, alice: Visitor) -> None:
        if not await self._step("third start", self._again(alice)):
            return
        crashes = Crashes(self.running, await self._notebook(alice))
        await self._step("a long cell", crashes.begin())
        for name in PROGRAMS:
            await self._step(f"kill -9 of {name} during the cell", crashes.kill(name))
        await self._step("the cell finished", crashes.end())
        await self._step("the server crashes: reason on the page", crashes.server_dies())

    async def _again(self, alice: Visitor) -> str:
        self.kernel = None
        await alice.start(proofs.profile(await alice.spawn_form(), INDEX_HOST))
        await self._page(alice)
        await self._notebook(alice)
        return "page and kernel of a new sandbox answer"

    async def _step(self, name: str, work: Awaitable[str]) -> bool:
        start = time.monotonic()
        try:
            detail, ok = await work, True
        except (Refusal, DemoError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            detail, ok = f"{type(error).__name__}: {error}", False
        step = Step(name, ok, detail, round(time.monotonic() - start, 2))
        self.steps.append(step)
        self.told(step)
        return ok

    async def _login(self, visitor: Visitor) -> str:
        wrong = Visitor(self.running.base, visitor.name, "wrong")
        async with wrong:
            status = await proofs.status_of(wrong.login())
        proofs.require(status == 403, f"a wrong password was answered with {status}")
        bare = await visitor.open(visitor.hub("login"), {"username": visitor.name, "password": "x"})
        proofs.require(bare.status == 403, f"a form without its token was answered with {bare.status}")
        page = await visitor.login()
        return f"{visitor.name} at {page.url}; without token 403, wrong password 403"

    async def _form(self, alice: Visitor) -> str:
        form = await alice.spawn_form()
        proofs.require(len(form.profiles) >= 3, f"the form shows {len(form.profiles)} profiles")
        proofs.require(bool(form.allowed()), "no profile is allowed")
        return ", ".join(f"{p.slug}{'' if p.allowed else ' (refused)'}" for p in form.profiles)

    async def _forbidden_by_form(self, bob: Visitor) -> str:
        refused = (await bob.spawn_form()).refused()
        proofs.require(bool(refused), "no profile is shown as refused")
        try:
            await bob.spawn(refused[0].slug)
            async for event in bob.progress():
                if event.get("failed"):
                    return proofs.reason(400, str(event["message"]), refused[0].slug)
        except Refusal as refusal:
            return proofs.reason(refusal.status, refusal.reason, refused[0].slug)
        raise DemoError(f"{bob.name} was given {refused[0].slug}")

    async def _forbidden_by_api(self, bob: Visitor) -> str:
        slug = (await bob.spawn_form()).refused()[0].slug
        headers = {"Authorization": f"token {await bob.token()}"}
        url = bob.hub(f"api/users/{bob.name}/server")
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json={"profile": slug}, headers=headers) as answer,
        ):
            document = await answer.json()
            return proofs.reason(answer.status, str(document.get("message")), slug)

    async def _spawn(self, alice: Visitor) -> str:
        profile = proofs.profile(await alice.spawn_form(), INDEX_HOST)
        start = time.monotonic()
        await alice.spawn(profile)
        events = []
        async for event in alice.progress():
            events.append((time.monotonic() - start, event))
        proofs.require(bool(events) and bool(events[-1][1].get("ready")), f"not ready: {events[-1:]}")
        stages = shares(events)
        if len(events) == 1:  # it was ready before the form was answered
            stages = logged_shares(self.running.log(), "alice")
        proofs.require(len(stages) >= 3, "the progress page shows no stages")
        self.sandbox = self._new_sandbox()
        return f"{profile}: {describe_stages(events[-1][0], stages)}"

    def _doors(self) -> set[str]:
        return {place.name for place in self.running.run_dir.joinpath("doors").glob("sb-*")}

    def _new_sandbox(self) -> str:
        doors = sorted(self._doors() - self.known)
        proofs.require(len(doors) == 1, f"{len(doors)} sandboxes have doors, not one")
        return doors[0]

    async def _page(self, alice: Visitor) -> str:
        page = await alice.open(alice.server("lab"))
        proofs.require(
            page.status == 200 and "jupyter-config-data" in page.text, f"{page.status} at {page.url}"
        )
        return f"{page.status} JupyterLab, {len(page.text)} characters"

    async def _cell(self, alice: Visitor, code: str, proof: Callable[[Any], str]) -> str:
        kernel = await self._notebook(alice)
        return proof(proofs.printed(await kernel.execute(code)))

    async def _notebook(self, alice: Visitor) -> Kernel:
        """One kernel a server; it ends with its server."""
        if self.kernel is None:
            self.kernel = await Kernel(alice).__aenter__()
        return self.kernel

    async def _limits(self, alice: Visitor) -> str:
        shown = await (await self._notebook(alice)).execute("%sandbox status")
        page = await alice.open(alice.hub("home"))
        async with LauncherClient(self.running.launcher_socket) as launcher:
            found = await launcher.capabilities()
        return proofs.limits(found, str(shown), read_endings(page.text).get("Default server", ""))

    async def _track(self, alice: Visitor) -> str:
        return await log_run(self.running, await self._notebook(alice))

    async def _install(self, alice: Visitor) -> str:
        kernel = await self._notebook(alice)
        output = await kernel.execute(cells.INSTALL, timeout=120)
        installed = [line for line in output.stdout.splitlines() if "Successfully installed" in line]
        proofs.require(bool(installed), str(output))
        asked = [line for line in self.running.upstreams.requests if line.startswith("GET pkg.")]
        proofs.require(bool(asked), "the local index was not asked")
        return f"{installed[0].strip()} ({len(asked)} requests at the index)"

    async def _secrets(self, alice: Visitor) -> str:
        shown = await self._cell(alice, cells.SECRETS, proofs.listed)
        passwords = [fields["password"] for fields in self.running.secrets.values() if "password" in fields]
        proofs.require(not any(password in shown for password in passwords), "a value is shown")
        return shown

    async def _use_secret(self, alice: Visitor) -> str:
        password = self.running.secrets["warehouse/reader"]["password"]
        used = await self._cell(alice, cells.SECRET_USED, lambda seen: proofs.same_secret(seen, password))
        left = proofs.printed(await (await self._notebook(alice)).execute(cells.SECRET_GONE))
        proofs.require(left == [], f"left in the environment: {left}")
        return used

    async def _restart(self, alice: Visitor) -> str:
        first, self.kernel = self.sandbox, None
        await alice.stop()
        profile = proofs.profile(await alice.spawn_form(), MIRROR_HOST)
        await alice.start(profile)
        page = await alice.open(alice.server("lab"))
        proofs.require(page.status == 200, f"{page.status} at {page.url}")
        self.sandbox = self._new_sandbox()
        proofs.require(self.sandbox != first, "the same sandbox came back")
        return f"{first[:9]}... ended, {self.sandbox[:9]}... began with {profile}"

    async def _locked_out(self, alice: Visitor, bob: Visitor) -> str:
        page = await bob.open(bob.server("lab", alice.name))
        proofs.require(page.status == 403, f"bob's page was answered with {page.status}")
        called = await proofs.status_of(bob.call("GET", bob.server("api/status", alice.name)))
        proofs.require(called == 403, f"bob's call was answered with {called}")
        foreign, own = Kernel(bob, owner=alice.name), Kernel(alice)
        foreign.id = own.id = (await self._notebook(alice)).id
        proofs.require(await proofs.handshake(foreign) == 403, "bob's WebSocket was not refused")
        proofs.require(await proofs.handshake(own) == 101, "alice's own second WebSocket failed")
        return f"page 403, call {called}, WebSocket 403 (alice's own: 101)"

    async def _admin(self) -> str:
        async with self.running.visitor("admin") as admin:
            await admin.login()
            page = await admin.open(admin.server("lab", "alice"))
            proofs.require(
                page.status == 200 and page.path.startswith(admin.server("", "alice").path),
                f"{page.status} at {page.url}",
            )
            status = await admin.call("GET", admin.server("api/status", "alice"))
        return f"page 200; {status['kernels']} kernels running"

    async def _stop(self, alice: Visitor) -> str:
        await alice.stop()
        found = await asyncio.to_thread(sandbox_traces, self.running.root, self.sandbox)
        proofs.require(not found.found(), f"left over: {found.found()}")
        page = await alice.open(alice.server("api/status"))
        proofs.require(page.status in {404, 424, 503}, f"the stopped server was answered with {page.status}")
        return f"no process, cgroup, mount, socket or directory of {self.sandbox}; route gone ({page.status})"
