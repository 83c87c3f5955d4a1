"""How is the database opened, brought up to date and asked, and what if it is locked, full or too new?

Law: every question runs in one transaction that takes the write lock first, one after the other: what was
read is still true when it is written, whoever else asks the same database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError
from ..settings import Site
from .changes import noting
from .databases import LOCK_WAIT, Database, StoreError
from .postgresql_database import ANSWER, Postgresql
from .sqlite_database import Sqlite
from .tables import SCHEMA

__all__ = ["Store", "StoreError", "database_of"]

log = logging.getLogger("jupyter_sandbox_spawner.control")
T = TypeVar("T")
_UPGRADE = 600.0  # seconds; a table of many years is rewritten
_MIGRATIONS = "jupyter_sandbox_spawner.control:migrations"


def database_of(site: Site) -> Database:
    """The site's database, for control alone."""
    if not site.database:
        return Sqlite(f"{site.state_dir}/control/control.sqlite", LOCK_WAIT)
    return Postgresql(site.database, LOCK_WAIT, site.database_password_file, alone=True)


class Store:
    """The database of control; use it as `async with`. Times out after `patience` seconds, never hangs.

    `database` may be the path of a SQLite file, or a URL `postgresql://...`.
    """

    def __init__(
        self, database: str | Database, lock_wait: float = LOCK_WAIT, patience: float = LOCK_WAIT + ANSWER
    ) -> None:
        self._database = _chosen(database, lock_wait) if isinstance(database, str) else database
        self._patience = patience
        self._engine = self._database.make_engine()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._turn = asyncio.Lock()
        self._listeners: list[Callable[[Collection[str]], None]] = []

    async def __aenter__(self) -> Store:
        try:
            await self._on_thread(self._upgrade, _UPGRADE)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._on_thread(self._engine.dispose, self._patience)
        self._thread.shutdown()

    def listen(self, listener: Callable[[Collection[str]], None]) -> None:
        """Call it, on the database's thread, after each transaction with the sandboxes it wrote of."""
        self._listeners.append(listener)

    async def run(self, question: Callable[[Connection], T]) -> T:
        """Run `question` in one transaction; committed when this returns, or not at all.

        Raises StoreError `database.locked`, `.full`, `.corrupt`, `.failed`, `.unreachable` or `.denied`;
        only an unreachable one that was lost in the commit leaves open whether it was recorded, and says so.
        """
        return await self._on_thread(lambda: self._ask(question), self._patience)

    def _ask(self, question: Callable[[Connection], T]) -> T:
        committing = False
        with noting() as changed:
            try:
                with self._engine.begin() as connection:
                    answer = question(connection)
                    committing = True
                return answer
            except DBAPIError as error:
                raise self._database.explain(error, committing) from error
            finally:
                # Also after a failure: a commit whose answer was lost may have come through.
                for listener in self._listeners if changed else ():
                    listener(changed)

    async def _on_thread(self, act: Callable[[], T], patience: float) -> T:
        # One after the other already here, so that the time of one does not count the wait for others.
        async with self._turn:
            loop = asyncio.get_running_loop()
            watch = loop.call_later(patience, self._database.interrupt)
            try:
                return await loop.run_in_executor(self._thread, act)
            finally:
                watch.cancel()

    def _upgrade(self) -> None:
        self._ask(self._bring_up_to_date)
        self._database.settle()

    def _bring_up_to_date(self, connection: Connection) -> None:
        self._database.prepare(connection)
        found = _schema(connection)
        if found != SCHEMA:
            log.info("Database %s: schema %s -> %s", self._database.name, found, SCHEMA)
            _migrate(connection, found, self._database.name)


def _chosen(address: str, lock_wait: float) -> Database:
    is_url = address.startswith("postgresql:")
    return Postgresql(address, lock_wait) if is_url else Sqlite(address, lock_wait)


def _schema(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _migrate(connection: Connection, found: str | None, name: str) -> None:
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
            f"{name} has the schema {found!r} of a newer version; this one knows {SCHEMA!r} at most.",
            code="database.newer",
            remedy="Install the newer version again, or restore the backup made before the upgrade.",
        )
    command.upgrade(config, "head")
