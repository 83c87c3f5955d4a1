"""How does a Vault of one's own run? A real server with one key, which can be sealed, unsealed and restarted.

For scripts/vault-dev and for tests. Who started it knows its root token; it is at loopback, in HTTP or TLS.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import guarded

__all__ = ["BUILD_VAULT", "OwnVault", "Refused", "SETUP", "Tls", "find_vault", "free_port"]

BUILD_VAULT = Path(__file__).with_name("build-vault")
SETUP = Path(__file__).with_name("setup")
PATIENCE = 30.0  # seconds until a server that starts must answer


@dataclass(frozen=True)
class Tls:
    """Files in PEM: of the server, and of the authority that signed its certificate."""

    certificate: Path
    key: Path
    authority: Path


class Refused(Exception):
    """Vault answered with an error: `status`, and `errors` in its own words."""

    def __init__(self, status: int, errors: list[str]) -> None:
        super().__init__(f"Vault answered {status}: {'; '.join(errors)}")
        self.status = status
        self.errors = errors


def find_vault() -> str:
    """The path of the Vault that `scripts/prepare vault` built, whether or not it is there."""
    done = subprocess.run([BUILD_VAULT, "--where"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OwnVault:
    """A Vault in `directory`; `root_token` and `unseal_key` are known once it is initialised.

    Verbs: start, stop, initialise, seal, unseal, call, set_up. All of them wait (a call takes milliseconds).
    """

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        keep: bool = False,
        tls: Tls | None = None,
    ) -> None:
        """`keep` stores on disk, so that a restart finds everything; otherwise all is gone when it ends."""
        context = ssl.create_default_context(cafile=tls.authority) if tls else None
        # No proxy of the caller's shell stands between here and loopback.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        self._tls = tls
        self.directory = directory
        self.root_token = ""
        self.unseal_key = ""
        self._host = host
        self._wanted_port = port
        self._keep = keep
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None

    @property
    def address(self) -> str:
        """Its address, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.directory / "vault.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process, 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start, at the port it had before if any. Raises RuntimeError with its log where it fails."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(5):
            self._port = self._port or free_port()
            if self._launch():
                return
            if self._wanted_port or self.root_token or "address already in use" not in self.log:
                break
            self._port = 0  # somebody was faster
        raise RuntimeError(f"Vault does not start:\n{self.log[-3000:]}")

    def _launch(self) -> bool:
        config = self.directory / "vault.json"
        storage = {"file": {"path": str(self.directory / "data")}} if self._keep else {"inmem": {}}
        listener = {"tcp": {"address": f"{self._host}:{self._port}", **self._listener()}}
        settings = {"storage": storage, "listener": listener, "disable_mlock": True, "api_addr": self.address}
        config.write_text(json.dumps({**settings, "log_level": "warn"}))
        self._log_file = (self.directory / "vault.log").open("wb")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VAULT_")}
        command = [find_vault(), "server", f"-config={config}"]
        self._process = guarded.start(command, self._log_file, env=environment)
        return self._answers()

    def _listener(self) -> dict[str, Any]:
        if self._tls is None:
            return {"tls_disable": True}
        return {"tls_cert_file": str(self._tls.certificate), "tls_key_file": str(self._tls.key)}

    def _answers(self) -> bool:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            try:
                self.call("GET", "sys/seal-status", token="")
            except (OSError, Refused):
                time.sleep(0.02)
            else:
                # Whoever answers is ours: with the port taken, our own process would have ended.
                return self._process.poll() is None
        self.stop()
        return False

    def stop(self) -> None:
        """End it. Nothing happens when it does not run."""
        if self._process is not None:
            guarded.end(self._process)
            self._process = None
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None

    def wait(self) -> None:
        """Return when it has ended."""
        if self._process is not None:
            self._process.wait()

    def initialise(self) -> None:
        """Make the first key and the root token, and unseal."""
        answer = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        self.root_token, self.unseal_key = answer["root_token"], answer["keys_base64"][0]
        self.unseal()

    def seal(self) -> None:
        """Seal: every other call now answers 503."""
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        """Unseal, and wait until it serves."""
        self.call("PUT", "sys/unseal", {"key": self.unseal_key}, token="")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.call("GET", "sys/health", token="")
                return
            except Refused:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Sealed for the block."""
        self.seal()
        try:
            yield
        finally:
            self.unseal()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Vault's answer to `/v1/path`; with the root token where `token` is None, without any for "".

        Raises Refused for a status of 400 and above, OSError where nobody answers.
        """
        token = self.root_token if token is None else token
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            f"{self.address}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "X-Vault-Request": "true",
                **({"X-Vault-Token": token} if token else {}),
                **(headers or {}),
            },
        )
        try:
            with self._opener.open(request, timeout=20) as answer:
                return dict(json.loads(answer.read() or b"{}"))
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, _errors(error.read())) from error

    def set_up(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run hub_config/vault/setup with the root token. Raises RuntimeError with its words on failure."""
        own = {"VAULT_ADDR": self.address, "VAULT_TOKEN": self.root_token}
        if self._tls is not None:
            own["VAULT_CACERT"] = str(self._tls.authority)
        others = {name: value for name, value in os.environ.items() if not name.startswith("VAULT_")}
        done = subprocess.run(
            [SETUP, *options], env={**others, **own}, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"setup ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done


def _errors(body: bytes) -> list[str]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return [body.decode(errors="replace")]
    return [str(error) for error in found.get("errors") or []] if isinstance(found, dict) else [str(found)]
