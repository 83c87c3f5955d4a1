"""Where does a test's Docker daemon come from? One of its own, apart from the host's, with the user image."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lanes import CHECKOUT

__all__ = ["IMAGE", "PREFIX", "Daemon", "run_daemon"]

IMAGE = "jupyter-sandbox-user:test"
PREFIX = "/opt/jupyter"


@dataclass
class Daemon:
    """A running daemon; `end` and `begin` are for tests that take it away."""

    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """The path of its API's socket."""
        return str(self.directory / "docker.sock")

    def begin(self) -> None:
        """Start it; returns when it answers."""
        with (self.directory / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(CHECKOUT / "scripts/dockerd"), str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while not _answers(self.socket):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)  # it announces nothing

    def end(self, kill: bool = False) -> None:
        """Stop it, with its containers; or kill it, which leaves them running for a moment."""
        assert self.process is not None
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(60)

    def ask(self, *words: str) -> str:
        """What the docker command says."""
        command = ["docker", "--host", f"unix://{self.socket}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    def cgroups(self, below: str = "") -> list[Path]:
        """The directories of its containers in every hierarchy; without `below`, of the daemon itself."""
        name = f"{self.directory.name}/{below}"
        return [*Path("/sys/fs/cgroup").glob(f"{name}/"), *Path("/sys/fs/cgroup").glob(f"*/{name}/")]

    def log(self) -> str:
        """The end of what it wrote."""
        return (self.directory / "dockerd.log").read_text(errors="replace")[-4000:]


@contextmanager
def run_daemon() -> Iterator[Daemon]:
    """A daemon with the user image; it is gone afterwards, and its data with it."""
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="jss-dockerd-", dir="/tmp")))
    try:
        daemon.begin()
        try:
            command = [str(CHECKOUT / "scripts/docker-image"), "--tag", IMAGE, "--socket", daemon.socket]
            made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-4000:]
            yield daemon
        finally:
            daemon.end()
            for cgroup in daemon.cgroups():
                if not cgroup.parent.is_symlink() and cgroup.exists():
                    cgroup.rmdir()
    finally:
        shutil.rmtree(daemon.directory)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200" in probe.recv(64)
        except OSError:
            return False
