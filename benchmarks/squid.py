"""How does Squid stand in for us? One hop, one worker, as it ships but for its port, its log and no cache."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from .machine import LOOPBACK, free_port, program, until_it_listens
from .row import BenchmarkError

__all__ = ["Squid", "open_squid"]

_CONFIGURATION = """
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
access_log stdio:{directory}/access.log
cache_log {directory}/cache.log
pid_filename {directory}/squid.pid
coredump_dir {directory}
pinger_enable off
shutdown_lifetime 0 seconds
max_filedescriptors 4096
"""


@dataclass(frozen=True)
class Squid:
    """A running Squid."""

    port: int
    process: int

    @property
    def place(self) -> str:
        """Where clients reach it."""
        return f"{LOOPBACK}:{self.port}"


@asynccontextmanager
async def open_squid(directory: Path) -> AsyncIterator[Squid]:
    """Run Squid while the block lasts. Raises BenchmarkError where there is none."""
    search = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    binary = shutil.which("squid", path=search)
    if binary is None:
        raise BenchmarkError("There is no squid to compare with: apt-get install squid")
    port = free_port()
    own = _prepare(directory, port)
    command = (binary, "-N", "-f", str(own / "squid.conf"))
    async with program(command, directory / "squid.log") as process:
        await until_it_listens(port, process, directory / "squid.log")
        yield Squid(port, process.pid)


def _prepare(directory: Path, port: int) -> Path:
    own = directory / "squid"
    own.mkdir()
    if os.geteuid() == 0:
        # Started by root it serves as this user (Debian's name), who has to write its logs.
        proxy = pwd.getpwnam("proxy")
        os.chown(own, proxy.pw_uid, proxy.pw_gid)
        directory.chmod(0o711)
    (own / "squid.conf").write_text(_CONFIGURATION.format(port=port, directory=own))
    return own
