"""Where does a test's Docker daemon come from? One of its own, apart from the host's, with the user image."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
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
_PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc")


@dataclass
class Daemon:
    """A running daemon; `end` and `begin` are for tests that take it away."""

    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        """The path of its API's socket."""
        return str(self.directory / "docker.sock")

    @property
    def programs(self) -> Path:
        """A directory in which its shims look for runc first, for tests that put another one there."""
        return self.directory / "bin"

    def begin(self) -> None:
        """Start it; returns when it answers."""
        # Of one that was killed: while nobody has reaped its containerd, dockerd would wait for that one.
        (self.directory / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        with (self.directory / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(CHECKOUT / "scripts/dockerd"), str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PATH": f"{self.programs}:{os.environ.get('PATH', '')}"},
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
def run_daemon(room: int = 0) -> Iterator[Daemon]:
    """A daemon with the user image; it is gone afterwards, and its data with it.

    `room`: bytes of a file system of its own for all that it writes; 0: the place's own.
    """
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="jss-dockerd-", dir=_place())))
    try:
        if room:
            options = f"size={room},mode=0711"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", daemon.directory], check=True)
        daemon.begin()
        try:
            command = [str(CHECKOUT / "scripts/docker-image"), "--tag", IMAGE, "--socket", daemon.socket]
            made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-4000:]
            yield daemon
        finally:
            daemon.end()
    finally:
        _clear(daemon)
        shutil.rmtree(daemon.directory)


def _clear(daemon: Daemon) -> None:
    """What a daemon leaves that was killed: shims, containers, mounts; and the cgroup that it had made."""
    place = str(daemon.directory)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            program, *words = path.read_bytes().decode(errors="replace").split("\0")
            if place in " ".join(words) and Path(program).name in _PROGRAMS:
                os.kill(int(path.parent.name), signal.SIGKILL)
    for cgroup in (*daemon.cgroups("*"), *daemon.cgroups()):
        if cgroup.parent.is_symlink() or cgroup.parent.parent.is_symlink() or not cgroup.exists():
            continue
        for pid in (cgroup / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while cgroup.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # the dead leave it a moment later
                cgroup.rmdir()
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if line.split()[4].startswith(place):
            subprocess.run(["umount", "--lazy", line.split()[4]], check=False)


def _place() -> str:
    """In memory where there is room: to import and remove the image takes a tenth of the time there."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 3 << 30 else "/tmp"


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200" in probe.recv(64)
        except OSError:
            return False
