"""What does a start cost the hub itself? A spawner that does nothing: its server is a page of the hub."""

from __future__ import annotations

from typing import Any

from jupyterhub import __version__
from jupyterhub.spawner import Spawner
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from .machine import LOOPBACK

__all__ = ["DoNothingSpawner"]


class _Anything(RequestHandler):
    """Answers what the hub asks before it believes that a server is there."""

    def get(self) -> None:
        """A server of the hub's own version."""
        self.set_header("X-JupyterHub-Version", __version__)
        self.finish("{}")


class DoNothingSpawner(Spawner):  # type: ignore[misc]  # JupyterHub has no types
    """Starts at once, runs until it is stopped, and there is no process."""

    _port = 0
    _runs = False

    async def start(self) -> tuple[str, int]:
        """Where the one server of all answers."""
        if not DoNothingSpawner._port:
            sockets = bind_sockets(0, LOOPBACK)
            HTTPServer(Application([(".*", _Anything)])).add_sockets(sockets)
            DoNothingSpawner._port = sockets[0].getsockname()[1]
        self._runs = True
        return LOOPBACK, DoNothingSpawner._port

    async def stop(self, now: bool = False) -> None:
        """Nothing to end."""
        self._runs = False

    async def poll(self) -> int | None:
        """None while it runs."""
        return None if self._runs else 0

    def get_state(self) -> dict[str, Any]:
        """Nothing is kept over a restart of the hub."""
        return {}
