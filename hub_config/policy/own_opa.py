"""How does an OPA of one's own run? A real server at loopback or a unix socket, with a policy and settings.

For tests and benchmarks. Its files are a bundle in `directory`: a change of them is taken up at once.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from hub_config.vault import guarded

__all__ = ["BUILD_OPA", "REGO", "OwnOpa", "find_opa"]

BUILD_OPA = Path(__file__).with_name("build-opa")
REGO = Path(__file__).with_name("rego") / "policy.rego"
PATIENCE = 20.0  # seconds until a server that starts must answer


def find_opa() -> str:
    """The path of the OPA that `scripts/prepare opa` built, whether or not it is there."""
    done = subprocess.run([BUILD_OPA, "--where"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class OwnOpa:
    """An OPA in `directory`. Verbs: start, stop, kill, pause, go_on, write."""

    def __init__(self, directory: Path, *, unix: bool = False) -> None:
        self.directory = directory
        self._socket = directory / "opa.sock"
        self._port = 0
        self._unix = unix
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None
        self.bundle = directory / "bundle"
        self.bundle.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """As the section `policy` names it."""
        return f"unix://{self._socket}" if self._unix else f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.directory / "opa.log").read_text(errors="replace")

    def write(self, settings: Mapping[str, Any] | None, rego: str | None = None, revision: str = "") -> None:
        """Put a policy (the shipped one where none is given), settings and a revision into its bundle."""
        data = {} if settings is None else {"jupyter_sandbox_settings": dict(settings)}
        texts = {"data.json": json.dumps(data), "policy.rego": REGO.read_text() if rego is None else rego}
        texts[".manifest"] = json.dumps({"revision": revision, "roots": [""]})
        for name, text in texts.items():
            part = self.directory / f"{name}.part"
            part.write_text(text)
            part.rename(self.bundle / name)

    def start(self) -> None:
        """Start, at the address it had before if any. Raises RuntimeError with its log where it fails."""
        for _ in range(5):
            self._port = self._port or _free_port()
            where = f"unix://{self._socket}" if self._unix else f"127.0.0.1:{self._port}"
            options = ["--server", "--addr", where, "--watch", "--bundle", str(self.bundle)]
            command = [find_opa(), "run", *options, "--skip-version-check", "--log-level-request", "error"]
            self._log_file = (self.directory / "opa.log").open("wb")
            self._process = guarded.start([*command, "--set", "decision_logs.console=true"], self._log_file)
            if self._listens():
                return
            self.stop()
            if "address already in use" not in self.log:
                break
            self._port = 0
        raise RuntimeError(f"OPA does not start:\n{self.log[-3000:]}")

    def _listens(self) -> bool:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            family = socket.AF_UNIX if self._unix else socket.AF_INET
            with socket.socket(family) as probe:
                probe.settimeout(1.0)
                try:
                    probe.connect(str(self._socket) if self._unix else ("127.0.0.1", self._port))
                    return True
                except OSError:
                    time.sleep(0.02)
        return False

    def pause(self) -> None:
        """It hangs: connections are taken and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone at once, as after a crash; start may follow."""
        self._signal(signal.SIGKILL)
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it; no-op where it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            guarded.end(self._process)
            self._process = None
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None
        self._socket.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
