"""How is the database opened, brought up to date and asked, and what if it is locked, full or too new?

Law: every question runs in one transaction that takes the write lock first (BEGIN IMMEDIATE), on one
thread: what was read is still true when it is written.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError, OperationalError

from ..errors import ConfigurationError, ProgramError
from ..serving import private_directory
from .tables import SCHEMA

__all__ = ["Store", "StoreError"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
T = TypeVar("T")
_MIGRATIONS = "jupyter_sandbox_spawner.control:migrations"
LOCK_WAIT = 3.0  # seconds another process (a backup, an admin's shell) may hold the lock


class StoreError(ProgramError):
    """The database could not be used; the code says why."""

    code = "database.failed"
    status = 503


class Store:
    """The database of control; use it as `async with`. Times out after LOCK_WAIT, never hangs."""

    def __init__(self, path: str, lock_wait: float = LOCK_WAIT) -> None:
        self.path = path
        self._engine = _engine(path, lock_wait)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")

    async def __aenter__(self) -> Store:
        private_directory(str(Path(self.path).parent))
        await self._on_thread(self._upgrade)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._on_thread(self._engine.dispose)
        self._thread.shutdown()

    async def run(self, question: Callable[[Connection], T]) -> T:
        """Run `question` in one immediate transaction; committed when this returns, or not at all.

        Raises StoreError `database.locked`, `database.full`, `database.corrupt` or `database.failed`.
        """

        def transaction() -> T:
            with self._engine.begin() as connection:
                return question(connection)

        return await self._on_thread(transaction)

    async def _on_thread(self, act: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, act)
        except DatabaseError as error:
            raise _store_error(self.path, error) from error

    def _upgrade(self) -> None:
        with self._engine.begin() as connection:
            found = _schema(connection)
            if found != SCHEMA:
                log.info("Database %s: schema %s -> %s", self.path, found, SCHEMA)
                _migrate(connection, found, self.path)
        os.chmod(self.path, 0o600)


def _schema(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _migrate(connection: Connection, found: str | None, path: str) -> None:
    # Imported where it is needed: a restart after a crash must not wait for a tool that has nothing to do.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigurationError(
            f"{path} has the schema {found!r} of a newer version; this one knows {SCHEMA!r} at most.",
            code="database.newer",
            remedy="Install the newer version again, or restore the backup made before the upgrade.",
        )
    command.upgrade(config, "head")


def _engine(path: str, lock_wait: float) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": lock_wait})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # The driver must not begin by itself: it would take the lock only at the first write.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _store_error(path: str, error: DatabaseError) -> StoreError:
    text = str(error.orig).lower()
    if isinstance(error, OperationalError) and ("locked" in text or "busy" in text):
        return StoreError(
            f"The database {path} is locked by another process for more than a few seconds.",
            code="database.locked",
            remedy="Try again in a moment; the admin finds the process with: fuser " + path,
        )
    if "full" in text:
        return StoreError(
            f"The disk of the database {path} is full.",
            code="database.full",
            remedy="Ask your admin to make room there; nothing was recorded.",
        )
    if "malformed" in text or "not a database" in text:
        return StoreError(
            f"The database {path} is damaged ({error.orig}).",
            code="database.corrupt",
            remedy="Move it away and start control again: running servers are adopted, deadlines begin anew.",
        )
    return StoreError(f"The database {path} cannot be used ({error.orig}).", remedy="Control's log has more.")
