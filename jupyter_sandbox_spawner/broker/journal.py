"""Which credentials has the broker had made that may still live? On disk, so that a crash loses none.

Law: a credential is written down before anybody gets it, and forgotten only when the store has ended it or
its time is over. What is here opens nothing: accessors and lease ids, no token and no value.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, TypeVar

from ..errors import ProgramError
from ..serving import private_directory

__all__ = ["Journal", "Kept"]

T = TypeVar("T")
_SCHEMA = """
create table if not exists credentials (
    id text primary key,
    kind text not null,
    sandbox text not null,
    user text not null,
    secret text not null,
    accessor text not null,
    ends_at text not null,
    ending integer not null default 0
)
"""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A token by its accessor, or a lease by its id (then `accessor` is that of its token).

    `ends_at`: when it is over by itself. `ending`: it is to be ended, and the store has not done so yet.
    """

    id: str
    kind: Literal["token", "lease"]
    sandbox: str
    user: str
    secret: str = ""
    accessor: str
    ends_at: datetime
    ending: bool = False


class Journal:
    """A small database in the broker's directory; each call is one transaction that is synced."""

    def __init__(self, directory: str) -> None:
        private_directory(directory)
        self._path = Path(directory) / "credentials.db"
        # Of threads: who waits may be cancelled, and the work of its thread goes on.
        self._lock = threading.Lock()
        self._database = _opened(self._path)

    def close(self) -> None:
        """Close it, after what is under way."""
        with self._lock:
            self._database.close()

    async def add(self, kept: Kept) -> None:
        """Write down; on disk when it returns."""
        row = (
            *(kept.id, kept.kind, kept.sandbox, kept.user, kept.secret, kept.accessor),
            *(kept.ends_at.astimezone(timezone.utc).isoformat(), int(kept.ending)),
        )
        await self._run(
            lambda: self._database.execute(
                "insert or replace into credentials values (?, ?, ?, ?, ?, ?, ?, ?)", row
            )
        )

    async def extend(self, ids: Collection[str], ends_at: datetime) -> None:
        """They live longer now."""
        until = ends_at.astimezone(timezone.utc).isoformat()
        rows = [(until, name) for name in ids]
        await self._run(
            lambda: self._database.executemany("update credentials set ends_at = ? where id = ?", rows)
        )

    async def end(self, ids: Collection[str]) -> None:
        """They are to be ended."""
        rows = [(name,) for name in ids]
        await self._run(
            lambda: self._database.executemany("update credentials set ending = 1 where id = ?", rows)
        )

    async def forget(self, ids: Collection[str]) -> None:
        """They have ended; with a token its leases have too."""
        rows = [(name, name) for name in ids]
        await self._run(
            lambda: self._database.executemany("delete from credentials where id = ? or accessor = ?", rows)
        )

    async def all(self) -> Sequence[Kept]:
        """Everything, the oldest end first."""
        rows = await self._run(
            lambda: self._database.execute("select * from credentials order by ends_at").fetchall()
        )
        return [
            Kept(
                id=row[0],
                kind="lease" if row[1] == "lease" else "token",
                sandbox=row[2],
                user=row[3],
                secret=row[4],
                accessor=row[5],
                ends_at=datetime.fromisoformat(row[6]),
                ending=bool(row[7]),
            )
            for row in rows
        ]

    async def _run(self, act: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._transaction, act)

    def _transaction(self, act: Callable[[], T]) -> T:
        try:
            with self._lock, self._database:
                return act()
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.touch(mode=0o600)
        database = sqlite3.connect(path, check_same_thread=False)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute(_SCHEMA)
    except (sqlite3.Error, OSError) as error:
        raise _unusable(path, error) from error
    return database


def _unusable(path: Path, error: Exception) -> ProgramError:
    return ProgramError(
        f"The list of credentials, {path}, cannot be used: {error}.",
        code="vault.journal_unusable",
        remedy="The admin looks at the disk; nothing new is given out until it can be written.",
        status=503,
    )
