"""How are control's records kept in SQLite? In one file of its own, in WAL mode, synced at each commit."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from ..serving import private_directory
from .databases import StoreError

__all__ = ["Sqlite"]


class Sqlite:
    """A `Database` in the file `path`; its directory is made."""

    def __init__(self, path: str, lock_wait: float) -> None:
        self.name = path
        self._lock_wait = lock_wait
        self._connection: sqlite3.Connection | None = None

    def make_engine(self) -> Engine:
        """One connection, whose transactions begin with the write lock."""
        # Its use is one after the other, and only `interrupt` comes from another thread.
        arguments = {"timeout": self._lock_wait, "check_same_thread": False}
        engine = create_engine(f"sqlite:///{self.name}", connect_args=arguments)

        @event.listens_for(engine, "do_connect")
        def make_directory(*_: Any) -> None:
            private_directory(str(Path(self.name).parent))

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            # The driver must not begin by itself: it would take the lock only at the first write.
            connection.isolation_level = None
            cursor = connection.cursor()
            # Two that change a new file's mode at once would not wait: SQLite tells one of them "locked".
            with _alone_in(Path(self.name).parent):
                cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()
            self._connection = connection

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    def prepare(self, connection: Connection) -> None:
        """Nothing: an empty file will do."""

    def settle(self) -> None:
        """Others cannot read it, not even where somebody opened its directory."""
        os.chmod(self.name, 0o600)

    def interrupt(self) -> None:
        """End the statement that runs."""
        if self._connection is not None:
            self._connection.interrupt()

    def explain(self, error: DBAPIError, committing: bool) -> StoreError:
        """A commit that failed wrote nothing, so it is told like anything else."""
        text = str(error.orig).lower()
        if isinstance(error, OperationalError) and ("locked" in text or "busy" in text):
            return StoreError(
                f"The database {self.name} is locked by another process for more than a few seconds.",
                code="database.locked",
                remedy="Try again in a moment; the admin finds the process with: fuser " + self.name,
            )
        if "full" in text:
            return StoreError(
                f"The disk of the database {self.name} is full.",
                code="database.full",
                remedy="Ask your admin to make room there; nothing was recorded.",
            )
        if "malformed" in text or "not a database" in text:
            return StoreError(
                f"The database {self.name} is damaged ({error.orig}).",
                code="database.corrupt",
                remedy="Move it away and start control again: running servers are adopted,"
                " deadlines begin anew.",
            )
        return StoreError(
            f"The database {self.name} cannot be used ({error.orig}).", remedy="Control's log has more."
        )


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Others that ask this of the same directory wait; the kernel frees it where a process dies."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
