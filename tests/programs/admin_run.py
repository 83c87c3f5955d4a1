"""How do tests run a whole site? `jupyter-sandbox-admin run` as a process, on directories of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.lanes import CHECKOUT, HUB_PYTHONPATH, VENVS, missing

__all__ = ["AdminRun", "admin", "site_directory"]

CONFIGURATION = """
from jupyter_sandbox_spawner.setup_hub import setup_hub

c = get_config()
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
setup_hub(
    c,
    profiles={profiles!r},
    run_dir={run!r},
    state_dir={state!r},
    environments={{"default": {prefix!r}}},
    public_port={port},
    one_uid={one_uid},
    tracking={tracking!r},
)
"""


def site_directory() -> Path:
    """A short directory: sockets have to fit below it, and the programs' uids pass through."""
    top = Path(tempfile.mkdtemp(prefix="jsa", dir="/tmp"))
    top.chmod(0o711)
    return top


def environment(**more: str) -> dict[str, str]:
    """What an admin's shell gives: the proxy on PATH, and nothing of ours."""
    path = f"{VENVS}/proxy/node_modules/.bin:{os.environ['PATH']}"
    return {"PATH": path, "HOME": "/tmp", "PYTHONPATH": HUB_PYTHONPATH, **more}


def admin(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """One command of jupyter-sandbox-admin to its end."""
    command = [sys.executable, "-m", "jupyter_sandbox_spawner.admin", *arguments]
    return subprocess.run(
        command, env=environment(**more), capture_output=True, text=True, check=False, timeout=90
    )


class AdminRun:
    """A run of a site in `top`; `stop()` ends it and gives its exit status."""

    def __init__(self, top: Path, more: str = "", **settings: object) -> None:
        self.top = top
        self.config = top / "jupyterhub_config.py"
        values: dict[str, object] = {
            "profiles": str(CHECKOUT / "hub_config/profiles.yaml"),
            "run": str(top / "run"),
            "state": str(top / "state"),
            "prefix": sys.prefix,
            "port": 0,
            "one_uid": bool(missing("uids")),
            "tracking": "",
        }
        self.config.write_text(CONFIGURATION.format(**{**values, **settings}) + more)
        self.output = top / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> AdminRun:
        """Start it; its output goes to a file."""
        command = [sys.executable, "-m", "jupyter_sandbox_spawner.admin", "run", "-f", str(self.config)]
        with self.output.open("wb") as stream:
            self.process = subprocess.Popen(
                [*command, *arguments], env=environment(), stdout=stream, stderr=subprocess.STDOUT
            )
        return self

    def wait_for(self, pattern: str, count: int = 1, timeout: float = 100.0) -> list[str]:
        """Wait until the output has so many matches; a file gives no event, so it is read again and again."""
        deadline = time.monotonic() + timeout
        while len(found := re.findall(pattern, self.text(), re.MULTILINE)) < count:
            ended = self.process is None or self.process.poll() is not None
            if time.monotonic() > deadline or ended:
                raise AssertionError(f"no {count} x {pattern!r} in:\n{self.text()}\n{self.logs()}")
            time.sleep(0.1)
        return found

    def pid(self, name: str) -> int:
        """The pid of a program's latest start."""
        return int(re.findall(rf"^{name} +started, pid (\d+)$", self.text(), re.MULTILINE)[-1])

    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text() if self.output.exists() else ""

    def logs(self) -> str:
        """The ends of the programs' logs."""
        files = sorted((self.top / "state/logs").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-2000:]}" for file in files)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def erase(self) -> None:
        """End what is left and remove the directory."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.top, ignore_errors=True)
