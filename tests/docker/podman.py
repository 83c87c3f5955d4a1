"""Where does a test's Podman come from? Its service on a socket of its own, apart from the host's."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .daemon import Daemon

__all__ = ["NOTHING", "run_podman"]

NOTHING = "jupyter-sandbox-nothing:test"  # an image of one directory: nothing of it is ever run


@contextmanager
def run_podman() -> Iterator[Daemon]:
    """Podman's service, with an image; it is gone afterwards, and its data with it."""
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="jss-podman-")))
    place, log = daemon.directory, (daemon.directory / "dockerd.log").open("ab")
    words = ["--root", f"{place}/data", "--runroot", f"{place}/run", "--tmpdir", f"{place}/tmp"]
    words += ["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--storage-driver", "vfs"]
    command = ["podman", *words, "system", "service", "--time=0", f"unix://{daemon.socket}"]
    # Its own programs reach the service by this variable, which would make them ask another one.
    environment = {name: text for name, text in os.environ.items() if name != "CONTAINER_HOST"}
    daemon.process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment | {"TMPDIR": str(place)}
    )
    try:
        deadline = time.monotonic() + 60
        while not Path(daemon.socket).exists():
            assert daemon.process.poll() is None, daemon.log()
            assert time.monotonic() < deadline, daemon.log()
            time.sleep(0.05)  # it announces nothing
        ask = ["docker", "--host", f"unix://{daemon.socket}", "import", "-", NOTHING]
        subprocess.run(ask, input=_one_directory(), check=True, capture_output=True, timeout=60)
        yield daemon
    finally:
        daemon.end()
        log.close()
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[4].startswith(str(place)):
                subprocess.run(["umount", "--lazy", line.split()[4]], check=False)
        shutil.rmtree(place)


def _one_directory() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("etc")
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    return buffer.getvalue()
