"""What does a real hub need so that control can talk to it, with no proxy and no sandbox behind it?

Run as `jupyterhub -f` with PORT and STATE in the environment. The roles below are those of setup_hub.
"""

from __future__ import annotations

import os
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets


class RoutesInMemory(Proxy):
    """A proxy that only remembers."""

    table: dict[str, dict[str, Any]] = {}  # noqa: RUF012 one hub, one table
    should_start = False

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        self.table[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self.table.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        return dict(self.table)


class Answering(web.RequestHandler):
    """A server that is up."""

    def get(self) -> None:
        self.set_header("X-JupyterHub-Version", "6.1.1")
        self.finish("{}")


class Forgetting(web.RequestHandler):
    """Any request deletes every user's route by hand."""

    def get(self) -> None:
        for spec in [spec for spec in RoutesInMemory.table if spec.startswith("/user/")]:
            del RoutesInMemory.table[spec]
        self.finish("{}")


class StandInSpawner(Spawner):
    """Starts a web server inside the hub's own process."""

    server_inside: HTTPServer | None = None

    async def start(self) -> str:
        routes = [("/forget", Forgetting), (".*", Answering)]
        sockets = bind_sockets(0, "127.0.0.1")
        self.server_inside = HTTPServer(web.Application(routes))
        self.server_inside.add_sockets(sockets)
        return f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def stop(self, now: bool = False) -> None:
        if self.server_inside is not None:
            self.server_inside.stop()
            self.server_inside = None

    async def poll(self) -> int | None:
        return None if self.server_inside is not None else 0


class Nobody(Authenticator):
    """Nobody logs in here."""

    async def authenticate(self, handler: Any, data: Any) -> None:
        return None


c = get_config()  # type: ignore[name-defined]  # noqa: F821 given by jupyterhub
c.JupyterHub.hub_port = int(os.environ["PORT"])
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.db_url = f"sqlite:///{os.environ['STATE']}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{os.environ['STATE']}/cookie"
c.JupyterHub.proxy_class = RoutesInMemory
c.JupyterHub.spawner_class = StandInSpawner
c.JupyterHub.authenticator_class = Nobody
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.custom_scopes = {"custom:sandbox:self": {"description": "Ask control about one's own sandbox"}}
c.Spawner.server_token_scopes = [
    "users:activity!user",
    "access:servers!server",
    "custom:sandbox:self!server",
]
c.JupyterHub.services = [
    {"name": "sandbox-control", "api_token": "control-token"},
    {"name": "test", "api_token": "test-token"},
]
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", "custom:sandbox:self!user"]},
    {
        "name": "sandbox-control",
        "services": ["sandbox-control"],
        "scopes": [
            "list:users",
            "read:users:name",
            "read:servers",
            "delete:servers",
            "users:activity",
            "proxy",
        ],
    },
    {
        "name": "test",
        "services": ["test"],
        "scopes": ["admin:users", "admin:servers", "tokens", "custom:sandbox:self"],
    },
]
