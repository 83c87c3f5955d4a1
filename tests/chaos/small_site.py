"""What is the smallest site with all programs that own sandboxes? Real launcher, gateway and control.

Its user image is the system's Python, or a Docker image; what runs inside a sandbox is our own pid 1 with a
server that sleeps. The hub is a stand-in (hub_desk.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from jupyter_sandbox_spawner.backends.records import Record, Records
from jupyter_sandbox_spawner.clients.control import ControlAdminClient, control_socket
from jupyter_sandbox_spawner.clients.gateway import GatewayClient
from jupyter_sandbox_spawner.clients.launcher import LauncherClient
from jupyter_sandbox_spawner.errors import ProgramError
from jupyter_sandbox_spawner.settings import Environment, Site, write_site
from tests.docker.daemon import IMAGE, PREFIX, Daemon
from tests.lanes import CHECKOUT
from tests.programs.control_neighbours import TOKEN

__all__ = ["PROGRAMS", "SmallSite"]

PROGRAMS = {
    "launcher": ("jupyter_sandbox_spawner.launcher", "--site"),
    "gateway": ("jupyter_sandbox_spawner.gateway", "--site"),
    "control": ("tests.chaos.hasty_control",),
}
_PATIENCE = 60.0  # seconds; a busy machine imports slowly


class SmallSite:
    """Programs that a test may kill; each comes back by itself, as under the supervisor."""

    def __init__(self, directory: Path, hub_port: int, ports: tuple[int, int], daemon: Daemon | None) -> None:
        self.directory, self.daemon = directory, daemon
        prefix = directory / "env"
        (prefix / "bin").mkdir(parents=True)
        (prefix / "bin/python").symlink_to(os.path.realpath("/usr/bin/python3"))
        for name in ("run", "run/control", "state"):
            (directory / name).mkdir(mode=0o700)
        tiny = Environment(prefix=PREFIX, image=IMAGE) if daemon else Environment(prefix=str(prefix))
        self.site = Site(
            run_dir=str(directory / "run"),
            state_dir=str(directory / "state"),
            profiles="",
            public_port=0,
            hub_port=hub_port,
            proxy_api_port=1,
            front_port=ports[0],
            control_port=ports[1],
            environments={"user": tiny},
            uid_base=3_500_000,
            uid_count=100,
            backend="docker" if daemon else "local",
            docker_socket=daemon.socket if daemon else "",
        )
        write_site(directory / "site.json", self.site)
        token = directory / "run/control.token"
        token.touch(0o600)
        token.write_text(TOKEN)
        self.launcher = LauncherClient(self.site.launcher_socket)
        self.gateway = GatewayClient(self.site.gateway_socket)
        self.control = ControlAdminClient(control_socket(self.site, "admin"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start one program."""
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *PROGRAMS[name], str(self.directory / "site.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)},
                start_new_session=True,
            )

    async def open(self) -> None:
        """Start all, and wait until they answer."""
        for name in PROGRAMS:
            self.start(name)
        await self.answers()

    async def answers(self) -> None:
        """Until all of them answer."""
        deadline = time.monotonic() + _PATIENCE
        for ask in (self.launcher.capabilities, self.gateway.health, self.control.sandboxes):
            while True:
                with suppress(ProgramError):
                    await ask()
                    break
                assert time.monotonic() < deadline, self.log()
                await asyncio.sleep(0.05)  # nobody says that a program listens

    async def kill(self, name: str) -> None:
        """kill -9, and start it again at once."""
        self._processes[name].kill()
        await asyncio.to_thread(self._processes[name].wait, 20)
        self.start(name)

    async def lose_database(self) -> None:
        """Control's database is erased while it is away."""
        self._processes["control"].kill()
        await asyncio.to_thread(self._processes["control"].wait, 20)
        for file in (self.directory / "state/control").glob("control.sqlite*"):
            file.unlink()
        self.start("control")
        await self.answers()

    async def close(self) -> dict[str, int]:
        """End all of them politely; their exit statuses."""
        for client in (self.launcher, self.gateway, self.control):
            await client.close()
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: await asyncio.to_thread(process.wait, 30) for name, process in self._processes.items()}

    def records(self) -> dict[str, Record | None]:
        """What the launcher has on disk."""
        return Records(f"{self.site.launcher_dir}/sandboxes").read_all()

    def log(self) -> str:
        """The end of what each program wrote."""
        files = sorted(self.directory.glob("*.log"))
        return "\n".join(f"{file.name}:\n{file.read_text(errors='replace')[-6000:]}" for file in files)
