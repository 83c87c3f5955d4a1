"""Is the file of SQLite opened safely, and is every trouble with it an error that says what to do?"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.store import Store, StoreError
from jupyter_sandbox_spawner.control.tables import settings_versions

from .control_neighbours import START, asked, spec


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory."""
    with tempfile.TemporaryDirectory(prefix="cs", dir="/tmp") as name:
        yield Path(name)


def path_in(place: Path) -> str:
    """Where the database is."""
    return str(place / "db/control.sqlite")


async def test_the_file_is_private_and_in_wal_mode(place: Path) -> None:
    """Nobody else reads it, and readers such as a backup do not stop control."""
    async with Store(path_in(place)) as store:
        mode = await store.run(lambda db: db.exec_driver_sql("PRAGMA journal_mode").scalar())
    assert mode == "wal"
    assert (place / "db/control.sqlite").stat().st_mode & 0o777 == 0o600
    assert (place / "db").stat().st_mode & 0o777 == 0o700


async def test_a_locked_database_is_waited_for_and_then_an_error(place: Path) -> None:
    """A lock held by another process makes a question wait, then fail by name; afterwards all is well."""
    async with Store(path_in(place), lock_wait=0.3) as store:
        other = sqlite3.connect(path_in(place))
        other.execute("BEGIN IMMEDIATE")
        began = asyncio.get_running_loop().time()
        with pytest.raises(StoreError) as caught:
            await store.run(records.all_open)
        waited = asyncio.get_running_loop().time() - began
        other.rollback()
        other.close()
        assert caught.value.code == "database.locked"
        assert 0.2 < waited < 10
        assert await store.run(records.all_open) == []


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of one MiB where the database will be."""
    disk = place / "db"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", disk], check=True)
    yield place
    subprocess.run(["umount", disk], check=True)


@pytest.mark.lane("root")
async def test_a_full_disk_is_an_error_and_nothing_is_half_written(small_disk: Path) -> None:
    """On a full disk a write fails by name and leaves what was there."""
    async with Store(path_in(small_disk)) as store:
        await store.run(lambda db: records.admit(db, asked(spec()), START, None))
        with pytest.raises(StoreError) as caught:
            await _fill(store)
        assert caught.value.code == "database.full"
        assert caught.value.status == 503
        assert len(await store.run(records.all_open)) == 1


async def _fill(store: Store) -> None:
    for number in range(1000):
        row = {"at": START, "name": f"n{number}" + "x" * 20_000, "digest": "d"}
        await store.run(lambda db, row=row: db.execute(insert(settings_versions).values(**row)))


async def test_a_damaged_database_is_named(place: Path) -> None:
    """A file that is no database is an error with a remedy, not a new empty database."""
    (place / "db").mkdir()
    (place / "db/control.sqlite").write_bytes(b"this is not a database, it is a text of some length" * 100)
    with pytest.raises(StoreError) as caught:
        await Store(path_in(place)).__aenter__()
    assert caught.value.code == "database.corrupt"


async def test_a_question_without_an_end_is_ended(place: Path) -> None:
    """A statement that runs past the store's patience fails, and the next question is answered."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    async with Store(path_in(place), patience=0.5) as store:
        with pytest.raises(StoreError) as caught:
            await store.run(lambda db: db.exec_driver_sql(endless).scalar())
        assert caught.value.code == "database.failed"
        assert await store.run(records.all_open) == []
