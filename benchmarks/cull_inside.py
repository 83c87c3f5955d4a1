"""What does the measured hub have besides a stock one? Servers that are none, and a watch on its loop."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from jupyterhub.app import JupyterHub
from jupyterhub.spawner import Spawner
from tornado.web import RequestHandler

from jupyter_sandbox_spawner.clients.control import ControlClient
from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.launcher import LauncherClient

__all__ = ["HANDLERS", "OURS", "FakeSpawner"]

# Names the run directory of control while a stop is ours; the file is away while it is the peer's.
OURS = "SANDBOX_BENCH_OURS"
_STEP = 0.01  # seconds between two signs of life of the loop


class FakeSpawner(Spawner):  # type: ignore[misc]  # JupyterHub has no types
    """Runs where the database says so; there is no process. Ours ends as the plugin ends it."""

    _sandbox = ""

    async def start(self) -> tuple[str, int]:
        """Nobody starts one."""
        raise NotImplementedError

    async def stop(self, now: bool = False) -> None:
        """Nothing to end for the peer; launcher, gateway and control hear of ours."""
        directory = _run_directory()
        _Loop.stops += 1
        _Loop.most = max(_Loop.most, _Loop.stops)
        try:
            if directory:
                await _end(directory, self._sandbox)
        finally:
            _Loop.stops -= 1
        self._sandbox = ""

    async def poll(self) -> int | None:
        """None while it runs."""
        return None if self._sandbox else 0

    def load_state(self, state: dict[str, Any]) -> None:
        """Its id is all there is."""
        super().load_state(state)
        self._sandbox = str(state.get("sandbox", ""))

    def get_state(self) -> dict[str, Any]:
        """As it was."""
        return {"sandbox": self._sandbox} if self._sandbox else {}


def _run_directory() -> str:
    try:
        with open(os.environ[OURS]) as file:
            return file.read()
    except FileNotFoundError:
        return ""


async def _end(directory: str, sandbox: str) -> None:
    launcher, gateway = (
        LauncherClient(f"{directory}/launcher.sock"),
        GatewayClient(f"{directory}/gateway.sock"),
    )
    control = ControlClient(f"{directory}/control/hub.sock")
    try:
        await gateway.close_sandbox(sandbox)
        await launcher.stop(sandbox, 10.0)
        await launcher.remove(sandbox)
        await control.released(sandbox, "stop.by_user", "stopped")
    finally:
        for client in (launcher, gateway, control):
            await client.close()


class _Loop:
    """Signs of life while `task` runs; `gap` is the longest silence beyond the step, in seconds.

    `stops` are under way now; `most` were at once.
    """

    gap = 0.0
    stops = most = 0
    task: asyncio.Task[None] | None = None

    @classmethod
    async def watch(cls) -> None:
        """Until it is cancelled."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(_STEP)
            now = time.perf_counter()
            cls.gap, last = max(cls.gap, now - last - _STEP), now


class _Bare(RequestHandler):
    def check_xsrf_cookie(self) -> None:
        """Nobody comes with a browser."""


class _Stall(_Bare):
    def post(self) -> None:
        """Begin to watch."""
        _Loop.gap, _Loop.most = 0.0, 0
        _Loop.task = asyncio.create_task(_Loop.watch())

    def delete(self) -> None:
        """End, and tell the longest silence in seconds, and how many stops were at once."""
        if _Loop.task is not None:
            _Loop.task.cancel()
        self.finish({"gap": _Loop.gap, "stops": _Loop.most})


class _Boot(_Bare):
    def get(self) -> None:
        """How many servers the hub believes to be ready."""
        users = JupyterHub.instance().users
        self.finish({"ready": sum(user.running for user in list(users.values()))})


class _Activity(_Bare):
    async def post(self) -> None:
        """What the hub does every `last_activity_interval`, by default 5 minutes."""
        await JupyterHub.instance().update_last_activity()


HANDLERS = [(r"/bench/stall", _Stall), (r"/bench/boot", _Boot), (r"/bench/activity", _Activity)]
