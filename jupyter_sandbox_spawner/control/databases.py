"""What must a database be able to do so that control can keep its records in it?"""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..errors import ProgramError

__all__ = ["LOCK_WAIT", "Database", "StoreError"]

LOCK_WAIT = 3.0  # seconds another process (a backup, an admin's shell) may hold the lock


class StoreError(ProgramError):
    """The database could not be used; the code says why."""

    code = "database.failed"
    status = 503


class Database(Protocol):
    """Verbs: make_engine, prepare, settle, interrupt, explain. `name` is for sentences; no secret is in it.

    Law: every transaction of its engine takes the one write lock of this database before anything is read.
    """

    name: str

    def make_engine(self) -> Engine:
        """The engine, with one connection; nothing is opened yet."""
        ...

    def prepare(self, connection: Connection) -> None:
        """Before the schema is brought up to date: refuse what cannot hold it, lift the limits of time."""
        ...

    def settle(self) -> None:
        """After that: nobody else may read it."""
        ...

    def interrupt(self) -> None:
        """End what is asked now, from another thread; it then fails in its own."""
        ...

    def explain(self, error: DBAPIError, committing: bool) -> StoreError:
        """What to say. `committing`: the question itself was answered, and the commit failed."""
        ...
