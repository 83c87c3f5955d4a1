"""What do people run without us? The same hub and proxy with JupyterHub's own local spawner, as it ships.

SimpleLocalProcessSpawner is LocalProcessSpawner without the change of user id, so that no account has to be
made on this machine; its way to start and to wait is inherited.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from hub_config.demo.authenticator import USERS_VARIABLE, write_users
from hub_config.demo.running import CHECKOUT, VENVS
from hub_config.demo.visitor import Visitor

from .machine import LOOPBACK, end_of, free_port, program, until_it_listens
from .row import BenchmarkError

__all__ = ["open_peer_hub", "until_it_serves"]

_SERVES_WITHIN = 180.0  # seconds; importing a hub takes a busy machine long
_ON_LOOPBACK = ("--ip=127.0.0.1", "--api-ip=127.0.0.1")

_CONFIGURATION = """
import os

from hub_config.demo.authenticator import use_demo_login

c = get_config()  # noqa: F821 (given by traitlets)
use_demo_login(c, os.environ["SANDBOX_DEMO_USERS"])
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = {hub}
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.JupyterHub.db_url = "sqlite:///{directory}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "{directory}/cookie_secret"
c.JupyterHub.spawner_class = "{spawner}"
c.SimpleLocalProcessSpawner.home_dir_template = "{directory}/home/{{username}}"
# A form, so that both are started by the same click; without one the hub starts at the login.
c.Spawner.options_form = '<input name="profile" value="default">'
c.Spawner.cmd = ["{user}/bin/jupyterhub-singleuser"]
c.Spawner.args = {arguments}
c.Spawner.environment = {{"PATH": "{user}/bin:" + os.environ["PATH"]}}
"""


@asynccontextmanager
async def open_peer_hub(
    directory: Path,
    user_name: str,
    spawner: str = "simple",
    more: str = "",
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Visitor]:
    """Run the hub while the block lasts; gives its only user at a browser, logged in.

    `spawner`: its name at the hub, or that of a class. `more`: further lines of its configuration file.
    """
    password = secrets.token_urlsafe(12)
    write_users(directory / "users.json", {user_name: {"password": password}})
    public, api = free_port(), free_port()
    config, log = _prepare(directory, (public, api), spawner), directory / "hub.log"
    config.write_text(config.read_text() + more)
    environment = {**_environment(directory), **(variables or {})}
    proxy = (
        str(VENVS / "proxy/node_modules/.bin/configurable-http-proxy"),
        f"--port={public}",
        f"--api-port={api}",
        *_ON_LOOPBACK,
    )
    hub = (sys.executable, "-m", "jupyterhub", "-f", str(config))
    async with program(proxy, directory / "proxy.log", environment) as process:
        await until_it_listens(public, process, directory / "proxy.log")
        async with (
            program(hub, log, environment),
            Visitor(f"http://{LOOPBACK}:{public}/", user_name, password) as visitor,
        ):
            await until_it_serves(visitor, log)
            await visitor.login()
            yield visitor


async def until_it_serves(visitor: Visitor, log: Path) -> None:
    """The proxy answers before there is a hub behind it, and nothing announces that there is.

    Raises BenchmarkError.
    """
    deadline = time.monotonic() + _SERVES_WITHIN
    while not await _serves(visitor):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"The hub's login page does not come; its log:\n{end_of(log)}")
        await asyncio.sleep(0.1)


async def _serves(visitor: Visitor) -> bool:
    try:
        return (await visitor.open(visitor.hub("login"))).status == 200
    except aiohttp.ClientError:
        return False


def _prepare(directory: Path, ports: tuple[int, int], spawner: str) -> Path:
    """The hub's configuration file."""
    (directory / "home").mkdir()
    config = directory / "jupyterhub_config.py"
    text = _CONFIGURATION.format(
        directory=directory,
        spawner=spawner,
        public=ports[0],
        hub=free_port(),
        api=ports[1],
        user=(VENVS / "user").resolve(),
        arguments=["--allow-root"] if os.geteuid() == 0 else [],
    )
    config.write_text(text)
    return config


def _environment(directory: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "JUPYTERHUB_API_TOKEN"}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "PYTHONPATH": str(CHECKOUT),
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
        USERS_VARIABLE: str(directory / "users.json"),
    }
