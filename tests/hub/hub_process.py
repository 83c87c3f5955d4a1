"""How does a test get a real JupyterHub, 5.5 or 6.1, with our spawner, the real control, and stand-ins?"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_sandbox_spawner.clients.control import control_socket
from jupyter_sandbox_spawner.settings import Environment, Site, write_site
from tests.lanes import CHECKOUT, HUB_PYTHONPATH

from .pods import PodsWithMemory
from .standins import GatewayWithMemory, LauncherOverMemory, LoopThread, ProxyWithRoutes

__all__ = ["PASSWORD", "Answer", "HubProcess", "Programs", "run_hub"]

Programs = Callable[[Site], AbstractContextManager[object]]
PASSWORD = "only-on-loopback-in-this-test"
_TOKEN = "0123456789abcdef0123456789abcdef"
_CONTROL_TOKEN = "control" * 5
_CONFIG = """
from jupyter_sandbox_spawner.settings import Environment
from jupyter_sandbox_spawner.setup_hub import setup_hub
import json
import os
c = get_config()
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["TEST_PASSWORD"]
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.load_groups = {"research": {"users": ["rita"]}, "clinical": {"users": []}}
c.JupyterHub.services = [{"name": "test", "api_token": os.environ["TEST_TOKEN"]}]
scopes = "admin:users admin:servers groups admin:groups list:users read:hub admin:server_state"
c.JupyterHub.load_roles = [{"name": "test", "services": ["test"], "scopes": scopes.split()}]
c.Spawner.start_timeout = float(os.environ["TEST_START_TIMEOUT"])
c.Spawner.http_timeout = 10
c.Spawner.poll_interval = int(os.environ["TEST_POLL_INTERVAL"])
c.Spawner.environment = {"FROM_ADMIN": "yes", "JUPYTERHUB_API_URL": "http://elsewhere"}
exec(os.environ["TEST_MORE"])
setup_hub(
    c,
    profiles=os.environ["TEST_PROFILES"],
    run_dir=os.environ["TEST_DIR"],
    state_dir=os.environ["TEST_DIR"],
    environments={
        name: Environment(**given) for name, given in json.loads(os.environ["TEST_ENVIRONMENTS"]).items()
    },
    backend=os.environ["TEST_BACKEND"],
    consecutive_failure_limit=int(os.environ["TEST_LIMIT"]),
    **json.loads(os.environ["TEST_SETUP"]),
)
"""


@dataclass(frozen=True)
class Answer:
    """Status and decoded body of an API call."""

    status: int
    document: Any


@dataclass
class HubProcess:
    """A running hub and what it talks to."""

    process: subprocess.Popen[bytes]
    base: str
    version: str
    directory: Path
    loop: LoopThread
    launcher: LauncherOverMemory
    gateway: GatewayWithMemory
    proxy: ProxyWithRoutes
    begin: Callable[[], subprocess.Popen[bytes]]
    control: ControlProcess
    pods: PodsWithMemory

    def restart(self) -> None:
        """Kill the hub and start it again over the same database."""
        self.process.kill()
        self.process.wait(20)
        self.process = self.begin()
        self.wait_for("the hub answers again", lambda: _answers(self), 90)

    def api(self, method: str, path: str, body: Any = None) -> Answer:
        """One call of the hub's REST API as a privileged service."""
        request = self._request(method, path, body)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                raw, status = answer.read(), answer.status
        except urllib.error.HTTPError as error:
            raw, status = error.read(), error.code
            error.close()
        try:
            return Answer(status, json.loads(raw) if raw else None)
        except ValueError:
            return Answer(status, raw.decode())

    def progress(self, user: str) -> list[dict[str, Any]]:
        """What the start page of the user's server is drawn from, until the start is over."""
        request = self._request("GET", f"users/{user}/server/progress")
        with urllib.request.urlopen(request, timeout=120) as answer:
            lines = answer.read().decode().splitlines()
        return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]

    def _request(self, method: str, path: str, body: Any = None) -> urllib.request.Request:
        return urllib.request.Request(
            f"{self.base}hub/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {_TOKEN}", "Content-Type": "application/json"},
        )

    def start(self, user: str, options: Any = None, server: str = "") -> Answer:
        """Start a server by API with the body of its JupyterHub version; None sends no body."""
        self.api("POST", f"users/{user}")
        place = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
        return self.api("POST", place, options)

    def servers(self, user: str) -> dict[str, Any]:
        """The user's servers as the hub sees them."""
        servers: dict[str, Any] = self.api("GET", f"users/{user}").document["servers"]
        return servers

    def log(self) -> str:
        """What the hub wrote."""
        return (self.directory / "hub.log").read_text(errors="replace")

    def wait_for(self, what: str, condition: Any, seconds: float = 20.0) -> None:
        """Poll until a condition holds: the hub announces nothing."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.log()[-4000:]}"
            time.sleep(0.05)


class ControlProcess:
    """The real control program; `stop` kills it, `start` returns when it answers."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._process: subprocess.Popen[bytes] | None = None
        token = Path(site.run_dir, "control.token")
        token.touch(0o600)
        token.write_text(_CONTROL_TOKEN)

    def start(self) -> None:
        """Start it unless it runs."""
        if self._process is not None:
            return
        with Path(self.site.run_dir, "control.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jupyter_sandbox_spawner.control",
                    "--site",
                    f"{self.site.run_dir}/site.json",
                ],
                env={"PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONPATH": str(CHECKOUT)},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + 240  # a machine that runs other tests besides is slow
        while not _listens(control_socket(self.site, "admin")):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it; its sockets refuse from now on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def log(self) -> str:
        """What it wrote."""
        return Path(self.site.run_dir, "control.log").read_text(errors="replace")


@contextmanager
def run_hub(
    interpreter: Path,
    profiles: Path,
    limit: int = 0,
    start_timeout: float = 20.0,
    poll_interval: int = 1,
    **changes: Any,
) -> Iterator[HubProcess]:
    """A hub of that interpreter's JupyterHub; everything is gone afterwards.

    `changes` are fields of its Site; `more` among them is Python for its configuration file, and `programs`
    a context manager that takes the Site and runs further ones, the launcher among them.
    """
    more = str(changes.pop("more", ""))
    programs: Programs | None = changes.pop("programs", None)
    directory = Path(tempfile.mkdtemp(prefix="hub", dir="/tmp"))
    launcher, proxy = LauncherOverMemory(), ProxyWithRoutes()
    gateway = GatewayWithMemory(launcher.backend)
    launcher.token = gateway.last_token
    control: ControlProcess | None = None
    try:
        with LoopThread() as loop, ExitStack() as stack:
            gateway.front_port = loop.serve(gateway.front())
            site = _site(directory, profiles, loop.serve(proxy.app()), gateway.front_port, limit)
            site = replace(site, **changes)
            if programs is None:
                loop.serve(launcher.app(), site.launcher_socket)
            loop.serve(gateway.app(), site.gateway_socket)
            pods, cluster = PodsWithMemory(), site.kubernetes
            if cluster is not None:
                Path(site.pods_socket).parent.mkdir()
                loop.serve(pods.app(), site.pods_socket)
            write_site(directory / "site.json", site)
            Path(site.hub_dir).mkdir()
            if programs is not None:
                gateway.doors = site.doors_dir
                stack.enter_context(programs(site))
            control = ControlProcess(site)
            control.start()
            settings = {
                "TEST_LIMIT": str(limit),
                "TEST_START_TIMEOUT": str(start_timeout),
                "TEST_POLL_INTERVAL": str(poll_interval),
                "TEST_BACKEND": site.backend,
                "TEST_ENVIRONMENTS": json.dumps({k: asdict(v) for k, v in site.environments.items()}),
                "TEST_MORE": more,
                "TEST_SETUP": json.dumps({"kubernetes": asdict(cluster)} if cluster else {}),
            }

            def begin() -> subprocess.Popen[bytes]:
                return _start(interpreter, directory, profiles, settings)

            base = f"http://127.0.0.1:{site.hub_port}/"
            hub = HubProcess(
                begin(), base, "", directory, loop, launcher, gateway, proxy, begin, control, pods
            )
            try:
                hub.wait_for("the hub answers", lambda: _answers(hub), 240)
                hub.version = hub.api("GET", "").document["version"]
                gateway.version = hub.version
                yield hub
            finally:
                # Before its programs end: a hub that still calls them would keep their connections open.
                hub.process.terminate()
                hub.process.wait(20)
    finally:
        if control is not None:
            control.stop()
        shutil.rmtree(directory)


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _site(directory: Path, profiles: Path, proxy_port: int, front_port: int, limit: int) -> Site:
    image = directory / "image/bin"
    image.mkdir(parents=True)
    (image / "python").symlink_to(sys.executable)
    return Site(
        run_dir=str(directory),
        state_dir=str(directory),
        profiles=str(profiles),
        public_port=0,
        hub_port=_free_port(),
        proxy_api_port=proxy_port,
        front_port=front_port,
        environments={"default": Environment(prefix=str(directory / "image"))},
        consecutive_failure_limit=limit,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(
    interpreter: Path, directory: Path, profiles: Path, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    (directory / "config.py").write_text(_CONFIG)
    environment = {
        "PATH": f"{interpreter.parent}:/usr/bin:/bin",
        "HOME": str(directory),
        "PYTHONPATH": HUB_PYTHONPATH,
        "CONFIGPROXY_AUTH_TOKEN": "proxy-token",
        "JUPYTER_SANDBOX_CONTROL_TOKEN": _CONTROL_TOKEN,
        "JUPYTER_SANDBOX_SITE": str(directory / "site.json"),
        "SECRET_OF_THE_HUB": "canary-of-the-hub",
        "TEST_TOKEN": _TOKEN,
        "TEST_PASSWORD": PASSWORD,
        "TEST_PROFILES": str(profiles),
        "TEST_DIR": str(directory),
        **settings,
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    with (directory / "hub.log").open("ab") as log:
        return subprocess.Popen(
            [str(interpreter), "-m", "jupyterhub", "-f", str(directory / "config.py")],
            env=environment,
            cwd=directory,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def _answers(hub: HubProcess) -> bool:
    assert hub.process.poll() is None, hub.log()[-4000:]
    try:
        return hub.api("GET", "").status == 200
    except OSError:
        return False
