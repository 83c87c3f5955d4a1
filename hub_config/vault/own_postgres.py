"""How does a PostgreSQL of one's own run? Debian's program in a directory of its own, never as root.

For scripts/vault-dev and for tests. It holds the database `warehouse`, which its user `vault` owns.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from . import guarded
from .own_vault import free_port

__all__ = ["DATABASE", "OwnPostgres", "Rejected"]

DATABASE = "warehouse"
NOBODY = 65534
PATIENCE = 30.0

_CONTENT = """
SET ROLE vault;
CREATE TABLE visits (day date, visitors integer);
INSERT INTO visits VALUES ('2026-01-01', 3), ('2026-01-02', 5);
"""


class Rejected(Exception):
    """PostgreSQL refused a login or a statement; the text is its own."""


def _programs() -> Path:
    """Debian's newest server; its programs are not on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise RuntimeError("There is no PostgreSQL; run: apt-get install postgresql")
    return found[-1].parent


class OwnPostgres:
    """Verbs: start, end, resume, stop, sql, sql_as, users. `password_file`: of its user `vault`."""

    def __init__(self) -> None:
        self.port = 0
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None

    @property
    def directory(self) -> Path:
        """Where everything of it lies, while it runs."""
        if self._directory is None:
            raise RuntimeError("PostgreSQL does not run")
        return self._directory

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.directory / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process, 0 when it does not run."""
        return self._process.pid if self._process else 0

    @property
    def url(self) -> str:
        """What `setup --postgres` is given."""
        return f"postgresql://vault@127.0.0.1:{self.port}/{DATABASE}?sslmode=disable"

    @property
    def password_file(self) -> Path:
        """What `setup --password-file` is given."""
        return self.directory / "vault-password"

    def start(self) -> None:
        """Make it, start it, fill it (2 s). Raises RuntimeError with its log where it does not come up."""
        # Not below a directory of the caller: those are closed to the uid that PostgreSQL gets.
        self._directory = Path(tempfile.mkdtemp(prefix="own-postgres-"))
        try:
            if os.geteuid() == 0:
                os.chown(self._directory, NOBODY, NOBODY)
            self._make()
            self._launch()
            self._fill()
        except BaseException:
            self.stop()
            raise

    def _make(self) -> None:
        data = self.directory / "data"
        options = ["--auth-local=trust", "--auth-host=scram-sha-256", "--username=postgres", "--no-sync"]
        command = [str(_programs() / "initdb"), *options, "--encoding=UTF8", "--locale=C", f"--pgdata={data}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._unprivileged())
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            "fsync": "off",
            "shared_buffers": "16MB",
        }

    def _launch(self) -> None:
        self.port = self.port or free_port()
        options = [part for name, value in self._settings().items() for part in ("-c", f"{name}={value}")]
        self._log_file = (self.directory / "log").open("wb")
        command = [str(_programs() / "postgres"), "-D", str(self.directory / "data"), *options]
        # INT is "fast": it does not wait for those who are connected.
        self._process = guarded.start(command, self._log_file, "INT", **self._unprivileged())
        end = time.monotonic() + PATIENCE
        while "ready to accept connections" not in (said := self.log):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start:\n{said}")
            time.sleep(0.02)

    def _fill(self) -> None:
        password = secrets.token_urlsafe(24)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password + "\n")
        # pg_signal_backend: to end the connections of a user whose time is over.
        self.sql(
            f"CREATE ROLE vault LOGIN CREATEROLE PASSWORD '{password}'; GRANT pg_signal_backend TO vault;",
            "postgres",
        )
        self.sql(f"CREATE DATABASE {DATABASE} OWNER vault", "postgres")
        self.sql(_CONTENT)

    def _unprivileged(self) -> dict[str, Any]:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        ours: dict[str, Any] = {"env": environment, "cwd": self.directory}
        return {**ours, "user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else ours

    def end(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it, and keep its files. SIGQUIT: as after a crash, from which it recovers."""
        if self._process is not None:
            self._process.send_signal(number)
            guarded.end(self._process)
            self._process = None
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None

    def resume(self) -> None:
        """Start it again at the same address."""
        self._launch()

    def stop(self) -> None:
        """End it and remove its files. Nothing happens when it does not run."""
        self.end()
        if self._directory is not None:
            shutil.rmtree(self._directory)
            self._directory = None

    def sql(self, text: str, database: str = DATABASE) -> list[str]:
        """Lines that statements give to the superuser, through the socket in the closed directory."""
        return _psql(["-h", str(self.directory), "-p", str(self.port), "-U", "postgres", database], text, {})

    def sql_as(self, user: str, password: str, text: str) -> list[str]:
        """Lines that statements give to this user, who comes over TCP. Raises Rejected."""
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", user, DATABASE]
        return _psql(place, text, {"PGPASSWORD": password})

    def users(self) -> list[str]:
        """The users that Vault has made and not yet dropped."""
        return self.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'sb\\_%' ORDER BY 1")


def _psql(place: list[str], text: str, variables: dict[str, str]) -> list[str]:
    command = [str(_programs() / "psql"), "--no-psqlrc", "--quiet", "-At", "-v", "ON_ERROR_STOP=1", *place]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10", **variables}
    done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Rejected(done.stderr.strip())
    return done.stdout.splitlines()
