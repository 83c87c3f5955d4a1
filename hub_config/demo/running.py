"""How is the whole product started for a demo or a test, and ended without a trace?

Law: everything lives below one short temporary directory, on ports from the operating system.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_sandbox_spawner.admin.accounts import Account, accounts_of, with_uids
from jupyter_sandbox_spawner.admin.homes import run_unshared
from jupyter_sandbox_spawner.admin.reach import find_barrier, python_barrier
from jupyter_sandbox_spawner.settings import Site, load_site

from .authenticator import USERS_VARIABLE, write_users
from .leftovers import Trace, look
from .upstream import Upstreams, serve_upstreams
from .visitor import Visitor

__all__ = ["CHECKOUT", "DemoError", "RunningSite", "running_site"]

CHECKOUT = Path(__file__).resolve().parent.parent.parent
VENVS = Path(os.environ.get("SANDBOX_VENVS", CHECKOUT / ".venv"))
_READY_WITHIN = 120.0
_GONE_WITHIN = 90.0
_GROUPS: Mapping[str, list[str]] = {"alice": ["research"], "bob": [], "admin": []}


def _canaries() -> Iterator[tuple[str, dict[str, str]]]:
    """Secrets that profiles of the demo and of the tests grant; their values are nowhere else."""
    for name in ("warehouse/reader", "research/model", "users/alice/token", "users/bob/token"):
        yield name, {"user": "reader", "password": secrets.token_urlsafe(24)}
    yield "team/git", {"user": "bot", "password": secrets.token_urlsafe(24)}
    yield (
        "storage/lab",
        {"access_key_id": "AK" + secrets.token_hex(9), "secret_access_key": secrets.token_hex(20)},
    )


class DemoError(Exception):
    """The demo cannot go on; the message is for the person who started it."""


@dataclass
class RunningSite:
    """A running product: its address, its users' passwords, its directories and programs' log.

    `shared_uid` says why all programs run under one uid; empty where each has its own. `secrets` are stored
    when it is ready: values by name and field. `variables` are further ones for the configuration file.
    """

    root: Path
    base: str = ""
    passwords: dict[str, str] = field(default_factory=dict)
    upstreams: Upstreams = field(default_factory=Upstreams)
    process: asyncio.subprocess.Process | None = None
    site: Site | None = None
    after: Trace | None = None
    shared_uid: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def run_dir(self) -> Path:
        """Sockets, doors, bundles."""
        return self.root / "run"

    @property
    def state_dir(self) -> Path:
        """Homes, uids, spools, the hub's database."""
        return self.root / "state"

    @property
    def launcher_socket(self) -> str:
        """Where the launcher answers."""
        return f"{self.run_dir}/launcher.sock"

    @property
    def log_file(self) -> Path:
        """What the supervisor wrote; each program's own log is below the state directory."""
        return self.root / "programs.log"

    @property
    def has_tracking(self) -> bool:
        """Does MLflow run here?"""
        return bool(self.site and self.site.tracking)

    def account(self, program: str) -> Account | None:
        """The uid and gid of a program, also before it runs; None where all share one."""
        site = Site(
            run_dir=str(self.run_dir),
            state_dir=str(self.state_dir),
            profiles="",
            public_port=0,
            hub_port=0,
            proxy_api_port=0,
            front_port=0,
            control_port=0,
            one_uid=bool(self.shared_uid),
        )
        return accounts_of(with_uids(site)).get(program)

    def hand_over(self, file: Path, program: str) -> None:
        """Let this program alone read a file that was written for it."""
        file.chmod(0o600)
        account = self.account(program)
        if account is not None:
            os.chown(file, account.uid, account.gid)

    def visitor(self, name: str) -> Visitor:
        """A person at a browser, not logged in yet."""
        return Visitor(self.base, name, self.passwords[name])

    def log(self, last: int = 20_000) -> str:
        """The end of each program's log, with its name; empty before anything was written."""
        return "\n".join(
            f"--- {path.name} ---\n{path.read_bytes()[-last:].decode(errors='replace')}"
            for path in (self.log_file, *sorted(self.state_dir.glob("logs/*.log")))
            if path.exists()
        )


def _environment(running: RunningSite, profiles: Path | None) -> dict[str, str]:
    services = running.upstreams.internal_services
    proxy = VENVS / "proxy/node_modules/.bin"
    path = f"{Path(sys.executable).parent}:{proxy}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    unwanted = {"JUPYTERHUB_API_TOKEN", "CONFIGPROXY_AUTH_TOKEN", "JUPYTER_SANDBOX_SITE"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return kept | {
        "PATH": path,
        "SANDBOX_PROFILES": str(profiles or _write_profiles(running)),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "SANDBOX_RUN_DIR": str(running.run_dir),
        "SANDBOX_STATE_DIR": str(running.state_dir),
        "SANDBOX_USER_ENV": str((VENVS / "user").resolve()),
        "SANDBOX_TRACKING": str(tracking) if (tracking := VENVS / "tracking").exists() else "",
        "SANDBOX_PUBLIC_PORT": "0",
        "SANDBOX_ONE_UID": "1" if running.shared_uid and os.geteuid() == 0 else "0",
        "SANDBOX_INTERNAL_SERVICES": ",".join(f"{name}={place}" for name, place in services.items()),
        USERS_VARIABLE: str(running.root / "users.json"),
        **running.variables,
    }


def _write_profiles(running: RunningSite) -> Path:
    """The profiles that are shipped, and the demo's own after them."""
    file = running.root / "profiles.yaml"
    parts = (CHECKOUT / "hub_config/profiles.yaml", CHECKOUT / "hub_config/demo/profiles.yaml")
    file.write_text("\n".join(part.read_text() for part in parts))
    return file


def _why_one_uid() -> str:
    """What keeps other uids from running this checkout; empty if nothing does."""
    if os.geteuid() != 0:
        return "not root"
    stranger = Account(uid=65534, gid=65534)
    places = (f"{CHECKOUT}/hub_config/.", f"{VENVS}/user/bin/python")
    barrier = python_barrier(stranger) or find_barrier(stranger, places)
    return f"other uids cannot use {barrier}" if barrier else ""


def _write_users(running: RunningSite) -> None:
    """The users' file, readable by the hub's uid alone."""
    file = running.root / "users.json"
    users = {
        name: {"password": running.passwords[name], "groups": groups, "admin": name == "admin"}
        for name, groups in _GROUPS.items()
    }
    write_users(file, users)
    running.hand_over(file, "hub")


async def _start(running: RunningSite, environment: Mapping[str, str], port: int) -> None:
    config = CHECKOUT / "hub_config/jupyterhub_config.py"
    command = [sys.executable, "-m", "jupyter_sandbox_spawner.admin", "run", "-f", str(config)]
    command += ["--port", str(port)] if port else []
    with running.log_file.open("ab") as log:
        running.process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            cwd=running.root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C at the terminal reaches the demo alone, which then ends the site in order.
            start_new_session=True,
        )


async def _wait_until_ready(running: RunningSite, stopping: asyncio.Event | None) -> None:
    # The supervisor says "ready at URL" in its output, a file here: there is no event to wait for.
    while "\nready at http" not in "\n" + running.log_file.read_text():
        if running.process is None or running.process.returncode is not None:
            raise DemoError(f"The programs ended before they were ready:\n{running.log()}")
        if stopping is not None and stopping.is_set():
            return
        await asyncio.sleep(0.1)
    running.site = load_site(running.run_dir / "site.json")
    running.base = f"http://127.0.0.1:{running.site.public_port}{running.site.base_url}"


async def _put_secrets(running: RunningSite, environment: Mapping[str, str]) -> None:
    """Store them as an admin does: by the command, through its standard input."""
    words = [sys.executable, "-m", "jupyter_sandbox_spawner.admin", "secrets", "put", "--format", "json"]
    words += ["--site", str(running.run_dir / "site.json")]

    async def put(name: str, fields: Mapping[str, str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *words,
            name,
            env=environment,
            cwd=running.root,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate(json.dumps(fields).encode())
        if process.returncode:
            raise DemoError(f"The secret {name} could not be stored: {said.decode(errors='replace')}")

    await asyncio.gather(*(put(name, fields) for name, fields in running.secrets.items()))


async def _stop(running: RunningSite) -> None:
    process = running.process
    if process is None or process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _GONE_WITHIN)
    except asyncio.TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise DemoError(f"The programs did not end within {_GONE_WITHIN:.0f} s.") from None


@asynccontextmanager
async def running_site(
    profiles: Path | None = None,
    port: int = 0,
    keep: bool = False,
    stopping: asyncio.Event | None = None,
    variables: Mapping[str, str] | None = None,
    prepare: Callable[[RunningSite], None] | None = None,
) -> AsyncIterator[RunningSite]:
    """Start everything, yield when the login page answers, end everything; `after` is what was left.

    `prepare` may change what is about to start: files, variables, secrets. `keep` leaves the directory (logs,
    homes, database) for a look. When `stopping` is set before all is ready, it yields at once, with no
    `base`. Raises DemoError.
    """
    root = Path(tempfile.mkdtemp(prefix="jsd-", dir="/tmp"))
    running = RunningSite(root, shared_uid=_why_one_uid(), variables=variables or {})
    # The programs' uids pass through; what lies in it lets in one of them each.
    running.root.chmod(0o711)
    running.run_dir.mkdir(mode=0o700)
    running.state_dir.mkdir(mode=0o700)
    running.passwords = {name: secrets.token_urlsafe(12) for name in _GROUPS}
    running.secrets = {name: dict(fields) for name, fields in _canaries()}
    _write_users(running)
    try:
        async with serve_upstreams() as running.upstreams:
            try:
                if prepare is not None:
                    prepare(running)
                environment = _environment(running, profiles)
                await _start(running, environment, port)
                await asyncio.wait_for(_wait_until_ready(running, stopping), _READY_WITHIN)
                if running.base:
                    await _put_secrets(running, environment)
                yield running
            finally:
                await _stop(running)
                running.after = await asyncio.to_thread(look, running.root, running.site)
    finally:
        if not keep:
            await asyncio.to_thread(_erase, running.root)


def _erase(root: Path) -> None:
    if os.geteuid() != 0:  # homes belong to sandboxes' uids
        run_unshared(["rm", "-rf", "--", str(root)])
    shutil.rmtree(root, ignore_errors=True)
