"""Is the database opened safely, and is every trouble with it an error that says what to do?"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, insert

from jupyter_sandbox_spawner.control import happenings, records
from jupyter_sandbox_spawner.control.store import Store, StoreError
from jupyter_sandbox_spawner.control.tables import METADATA, SCHEMA, settings_versions
from jupyter_sandbox_spawner.control.tables_data import dataset_tags
from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.models import Event

from .control_neighbours import START, asked, spec


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory."""
    with tempfile.TemporaryDirectory(prefix="cs", dir="/tmp") as name:
        yield Path(name)


def path_in(place: Path) -> str:
    """Where the database is."""
    return str(place / "db/control.sqlite")


async def test_the_migrations_make_the_tables_that_the_code_uses(place: Path) -> None:
    """A fresh database differs in nothing from tables.py, is in WAL mode and private."""
    async with Store(path_in(place)):
        pass
    engine = create_engine(f"sqlite:///{path_in(place)}")
    with engine.connect() as connection:
        assert dataset_tags in METADATA.sorted_tables
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert MigrationContext.configure(connection).get_current_revision() == SCHEMA
    engine.dispose()
    assert (place / "db/control.sqlite").stat().st_mode & 0o777 == 0o600


async def test_a_newer_schema_is_refused_with_a_sentence(place: Path) -> None:
    """A database of a later version is not touched; the error names both and the remedy."""
    async with Store(path_in(place)):
        pass
    with sqlite3.connect(path_in(place)) as database:
        database.execute("UPDATE alembic_version SET version_num = '0999'")
    database.close()
    with pytest.raises(ConfigurationError) as caught:
        await Store(path_in(place)).__aenter__()
    assert caught.value.code == "database.newer"
    assert "0999" in caught.value.message
    assert "newer version" in caught.value.remedy


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


async def test_a_failing_question_changes_nothing(place: Path) -> None:
    """What a question wrote before it failed is undone."""
    async with Store(path_in(place)) as store:

        def half(connection: object) -> None:
            records.admit(connection, asked(spec()), START, None)  # type: ignore[arg-type]
            raise ValueError("in the middle")

        with pytest.raises(ValueError, match="in the middle"):
            await store.run(half)
        assert await store.run(records.all_open) == []


async def test_a_record_comes_back_as_it_was(place: Path) -> None:
    """Spec and instants survive the database."""
    wanted = spec(ttl=60, idle_timeout=30)
    async with Store(path_in(place)) as store:
        await store.run(lambda db: records.admit(db, asked(wanted), START, START))
        found = await store.run(lambda db: records.by_id(db, wanted.id))
    assert found is not None
    assert found.parsed_spec() == wanted
    assert (found.deadline, found.admitted_at, found.idle_timeout) == (START, START, 30)


async def test_the_first_reason_stays(place: Path) -> None:
    """A decided reason is not replaced by a later one or by the release."""
    wanted = spec()
    async with Store(path_in(place)) as store:
        await store.run(lambda db: records.admit(db, asked(wanted), START, None))
        first = lambda db: records.decide_stop(db, wanted.id, "stop.ttl", "Time.", "control", START)  # noqa: E731
        assert await store.run(first)
        assert not await store.run(first)
        assert await store.run(lambda db: records.release(db, wanted.id, "ended.exit", "Exit.", START, 0))
        assert not await store.run(lambda db: records.release(db, wanted.id, "x", "y", START))
        found = await store.run(lambda db: records.by_id(db, wanted.id))
    assert found is not None
    assert (found.status, found.stop_code, found.stop_why) == ("released", "stop.ttl", "Time.")


@pytest.mark.proves("T21")
async def test_a_flood_of_denied_names_is_one_row(place: Path) -> None:
    """A sandbox that tries a thousand names keeps two hundred rows and one that counts the rest."""
    async with Store(path_in(place)) as store:

        def flood(connection: object) -> None:
            for number in range(1000):
                detail = {"host": f"h{number}.example", "port": 443, "code": "egress.not_allowed"}
                event = Event(
                    seq=number, time=START, kind="egress.denied", sandbox="sb-a", user="a", detail=detail
                )
                happenings.count_denial(connection, event)  # type: ignore[arg-type]

        await store.run(flood)
        rows = await store.run(lambda db: happenings.denials_of(db, "sb-a", 1000))
    assert len(rows) == happenings.DENIALS_KEPT + 1
    assert sum(row["count"] for row in rows) == 1000
