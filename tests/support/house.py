"""How do tests live in a real house? The product once a session, driven from a thread with its own loop.

Law: tests reach a sandbox as its user would, by browser and kernel; nothing here reaches into one.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from hub_config.demo.kernel import Kernel, Output
from hub_config.demo.programs import Programs
from hub_config.demo.running import RunningSite, running_site
from hub_config.demo.visitor import Refusal, Visitor
from jupyter_sandbox_spawner.clients.control import ControlAdminClient, control_socket
from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.models import Event, InventoryItem
from jupyter_sandbox_spawner.ordinary import inside_namespace
from jupyter_sandbox_spawner.settings import Site

__all__ = ["House", "open_house"]

T = TypeVar("T")
NOBODY = 65534
PROFILES = Path(__file__).with_name("profiles.yaml")
# Every attack runs after this: it notes what each attempt gave, so that one refusal hides no other.
PRELUDE = """
import ctypes, errno, json, os, socket, subprocess, sys, time
seen = {}

def attempt(name, act):
    start = time.monotonic()
    try:
        value = act()
        seen[name] = {"ok": True, "value": value if isinstance(value, (int, str, list, dict)) else str(value)}
    except BaseException as error:
        code = errno.errorcode.get(getattr(error, "errno", None) or 0, "")
        seen[name] = {"ok": False, "error": type(error).__name__, "errno": code, "text": str(error)[:300]}
    seen[name]["seconds"] = round(time.monotonic() - start, 3)
"""


class House:
    """A running product with alice (group research), bob and admin, all logged in when first asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, running: RunningSite, stack: AsyncExitStack) -> None:
        self.running = running
        self._loop = loop
        self._stack = stack
        self._visitors: dict[str, Visitor] = {}
        self._kernels: dict[str, Kernel] = {}

    @property
    def site(self) -> Site:
        """The site as its programs know it."""
        assert self.running.site is not None
        return self.running.site

    def wait(self, work: Coroutine[Any, Any, T], timeout: float = 120.0) -> T:
        """Run a coroutine in the house's loop and wait for what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def wait_later(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the house's loop while the test goes on."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def visitor(self, name: str) -> Visitor:
        """The person at a browser, logged in."""
        if name not in self._visitors:
            self._visitors[name] = self.wait(self._enter(name))
        return self._visitors[name]

    async def _enter(self, name: str) -> Visitor:
        visitor = await self._stack.enter_async_context(self.running.visitor(name))
        await visitor.login()
        return visitor

    def server(self, name: str, profile: str = "small") -> str:
        """Make sure that this person's server runs. Returns the id of its sandbox."""
        visitor = self.visitor(name)
        found = self.sandbox(name)
        if found is None or not self._page_answers(visitor):
            self._end_what_the_hub_holds(visitor)
            self.wait(visitor.start(profile))
            assert self._page_answers(visitor)
            found = self.sandbox(name)
        assert found is not None
        return found.id

    def _end_what_the_hub_holds(self, visitor: Visitor) -> None:
        # After a crash the hub keeps a server in its list until it polls the next time.
        user = self.wait(visitor.call("GET", visitor.hub(f"api/users/{visitor.name}")))
        if user["servers"]:
            self.stop(visitor.name)

    def _page_answers(self, visitor: Visitor) -> bool:
        page = self.wait(visitor.open(visitor.server("lab")))
        return page.status == 200 and page.path.startswith(visitor.server("").path)

    def sandbox(self, name: str) -> InventoryItem | None:
        """The launcher's record of this person's running sandbox."""
        running = [item for item in self.inventory() if item.user == name and item.status.value == "running"]
        return running[0] if running else None

    def inventory(self) -> tuple[InventoryItem, ...]:
        """Every sandbox of the launcher."""
        return self.ask_launcher(lambda client: client.inventory())

    def ask_launcher(self, ask: Callable[[LauncherClient], Awaitable[T]]) -> T:
        """Call the launcher's socket, as root may."""
        return self.wait(self._ask(LauncherClient(self.site.launcher_socket), ask))

    def ask_gateway(self, ask: Callable[[GatewayClient], Awaitable[T]]) -> T:
        """Call the gateway's own door, as root may."""
        return self.wait(self._ask(GatewayClient(self.site.gateway_socket), ask))

    def ask_control(self, ask: Callable[[ControlAdminClient], Awaitable[T]]) -> T:
        """Call control's socket for admins."""
        return self.wait(self._ask(ControlAdminClient(control_socket(self.site, "admin")), ask))

    @property
    def programs(self) -> Programs:
        """The processes of the site's programs."""
        return Programs(self.running.log_file)

    async def _ask(self, client: Any, ask: Callable[[Any], Awaitable[T]]) -> T:
        try:
            return await ask(client)
        finally:
            await client.close()

    @property
    def stranger(self) -> int:
        """The uid of a local user who has nothing to do with the house."""
        return NOBODY if os.geteuid() == 0 else self.site.uid_base + self.site.uid_count - 2

    def as_root(self, *command: str) -> list[str]:
        """A command that may become any uid of the house: as root, or in the ordinary user's namespace."""
        return list(command) if os.geteuid() == 0 else inside_namespace(self.site.launcher_dir, command)

    def events(self, kind: str, user: str) -> list[Event]:
        """What gateway and audit say of one kind about one person, oldest first.

        The gateway is asked first: it forgets an event only once control has it in the audit.
        """
        found = list(self.ask_gateway(lambda client: client.events(0, 0)))
        audit = self.ask_control(lambda client: client.audit(user=user, limit=500))
        found = [_event(item) for item in reversed(audit["items"]) if item["actor"] == "gateway"] + found
        return [event for event in found if event.kind == kind and event.user == user]

    def kernel(self, name: str) -> Kernel:
        """A kernel on this person's server, kept for the next test while it lives."""
        self.server(name)
        kernel = self._kernels.get(name)
        if kernel is None or not self.wait(_alive(kernel)):
            kernel = self._kernels[name] = self.wait(self.new_kernel(name))
        return kernel

    def kernel_as_it_is(self, name: str) -> Kernel:
        """The kernel that was used last, without a look at its server."""
        return self._kernels[name]

    async def new_kernel(self, name: str) -> Kernel:
        """Start another kernel on this person's running server."""
        return await Kernel(self._visitors[name]).__aenter__()

    def run(self, name: str, code: str, timeout: float = 60.0) -> Output:
        """Run a cell in this person's notebook."""
        return self.wait(self.kernel(name).execute(code, timeout), timeout + 90)

    def attack(self, name: str, code: str, timeout: float = 60.0) -> dict[str, dict[str, Any]]:
        """Run attempts in this person's notebook: `{attempt: {ok, value | error, errno, text, seconds}}`."""
        output = self.run(name, PRELUDE + code + "\nprint('SEEN ' + json.dumps(seen))", timeout)
        assert output.ok, f"the attack itself broke: {output}\n" + "\n".join(output.traceback)
        line = [line for line in output.stdout.splitlines() if line.startswith("SEEN ")][-1]
        result: dict[str, dict[str, Any]] = json.loads(line[5:])
        return result

    def fresh(self, name: str) -> str:
        """Start a new sandbox and give its id: of one that met many refusals in the last minute, the audit
        has the first ones and a count.
        """
        if self.sandbox(name) is not None:
            self.stop(name)
        return self.server(name)

    def stop(self, name: str) -> None:
        """Stop this person's server."""
        self._kernels.pop(name, None)
        self.wait(self.visitor(name).stop())


async def _alive(kernel: Kernel) -> bool:
    try:
        return (await kernel.execute("1", timeout=10)).ok
    except (Refusal, aiohttp.ClientError, asyncio.TimeoutError, ConnectionError):
        return False


@contextmanager
def open_house(
    profiles: Path = PROFILES,
    variables: Mapping[str, str] | None = None,
    prepare: Callable[[RunningSite], None] | None = None,
) -> Iterator[House]:
    """A house for the block; its end is checked: nothing of it may be left on the machine."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="house", daemon=True)
    thread.start()
    stack = AsyncExitStack()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(240)

    async def close(work: AsyncExitStack) -> None:
        await work.aclose()

    site = running_site(profiles=profiles, variables=variables, prepare=prepare)
    running = wait(_enter(site))
    try:
        yield House(loop, running, stack)
    finally:
        wait(close(stack))
        wait(_leave(site))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert running.after is not None
    assert not running.after.found(), running.after.found()


async def _enter(site: Any) -> RunningSite:
    running: RunningSite = await site.__aenter__()
    return running


async def _leave(site: Any) -> None:
    await site.__aexit__(None, None, None)


def _event(item: dict[str, Any]) -> Event:
    """A line of the audit as the gateway's event that it was."""
    return Event(
        seq=item["detail"]["source_seq"],
        time=datetime.fromisoformat(item["time"].replace("Z", "+00:00")),
        kind=item["action"],
        sandbox=item["subject"]["sandbox"],
        user=item["subject"]["user"],
        server=item["subject"]["server"],
        detail=item["detail"],
    )
