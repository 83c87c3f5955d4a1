"""Does the store keep what it is told, on SQLite and on a real PostgreSQL alike?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from jupyter_sandbox_spawner.control import happenings, records
from jupyter_sandbox_spawner.control.store import Store
from jupyter_sandbox_spawner.control.tables import METADATA, SCHEMA
from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.models import Event
from tests.support.control_databases import BOTH, ask, fresh_database

from .control_neighbours import START, asked, spec

HOST = "h" * 250

FIRST = {"sandboxes", "extensions", "events", "denials", "settings", "settings_versions"}  # of schema 0001
LATER = (("sandboxes", "extend_times"), ("sandboxes", "keep_until"), ("extensions", "key"))


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database."""
    with (
        tempfile.TemporaryDirectory(prefix="cs", dir="/tmp") as name,
        fresh_database(Path(name), request.param) as address,
    ):
        yield address


async def test_the_migrations_make_the_tables_that_the_code_uses(database: str) -> None:
    """A fresh database differs in nothing from tables.py."""
    async with Store(database) as store:

        def compare(connection: Connection) -> tuple[object, object]:
            context = MigrationContext.configure(connection)
            return compare_metadata(context, METADATA), context.get_current_revision()

        assert await store.run(compare) == ([], SCHEMA)


@pytest.mark.parametrize("earlier", ["0001", "0002"])
async def test_an_earlier_schema_is_brought_up_to_date(database: str, earlier: str) -> None:
    """What an earlier version recorded is there afterwards, with the defaults of what it did not know."""
    async with Store(database) as store:
        await store.run(lambda db: records.admit(db, asked(spec()), START, None))
    for table in METADATA.tables.keys() - FIRST:
        ask(database, f'DROP TABLE "{table}"')
    for column in ("groups", "grants")[: 3 - int(earlier)]:
        ask(database, f"ALTER TABLE sandboxes DROP COLUMN {column}")
    for table, column in LATER:
        ask(database, f"ALTER TABLE {table} DROP COLUMN {column}")
    ask(database, "DROP INDEX denials_by_time")
    ask(database, f"UPDATE alembic_version SET version_num = '{earlier}'")
    async with Store(database) as store:
        found = await store.run(lambda db: records.by_id(db, spec().id))
        assert found is not None
        assert (found.parsed_spec(), found.groups, found.grants) == (spec(), [], [])
        current = await store.run(lambda db: MigrationContext.configure(db).get_current_revision())
    assert current == SCHEMA


async def test_two_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """Of two that make one SQLite file at the same moment none is told that it is locked, in twelve tries."""
    for number in range(12):
        first, second = (Store(str(tmp_path / f"{number}.sqlite"), 30.0) for _ in range(2))
        await asyncio.gather(first.__aenter__(), second.__aenter__())
        await asyncio.gather(*(store.__aexit__(None, None, None) for store in (first, second)))


async def test_two_that_start_at_once_upgrade_once(database: str) -> None:
    """Both are open afterwards, and the steps of the schema were made one time."""
    # Six steps of a schema take longer than a question where the processors are busy.
    first, second = Store(database, 30.0), Store(database, 30.0)
    await asyncio.gather(first.__aenter__(), second.__aenter__())
    await first.run(lambda db: records.admit(db, asked(spec()), START, None))
    assert len(await second.run(records.all_open)) == 1
    await asyncio.gather(*(store.__aexit__(None, None, None) for store in (first, second)))


async def test_a_newer_schema_is_refused_with_a_sentence(database: str) -> None:
    """A database of a later version is not touched; the error names both and the remedy."""
    async with Store(database):
        pass
    ask(database, "UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(ConfigurationError) as caught:
        await Store(database).__aenter__()
    assert caught.value.code == "database.newer"
    assert "0999" in caught.value.message
    assert "newer version" in caught.value.remedy


async def test_a_failing_question_changes_nothing(database: str) -> None:
    """What a question wrote before it failed is undone."""
    async with Store(database) as store:

        def half(connection: Connection) -> None:
            records.admit(connection, asked(spec()), START, None)
            raise ValueError("in the middle")

        with pytest.raises(ValueError, match="in the middle"):
            await store.run(half)
        assert await store.run(records.all_open) == []


async def test_a_record_comes_back_as_it_was(database: str) -> None:
    """Spec, instants, lists, truth and a number above 32 bits survive the database."""
    wanted = spec(ttl=60, idle_timeout=2**40)
    request = asked(wanted, extend_by=3600)
    async with Store(database) as store:
        await store.run(lambda db: records.admit(db, request, START, START))
        await store.run(lambda db: records.mark_audited(db, wanted.id))
        await store.run(lambda db: records.mark_ready(db, wanted.id, START, {"place": 0.25}))
        found = await store.run(lambda db: records.by_id(db, wanted.id))
    assert found is not None
    assert found.parsed_spec() == wanted
    assert (found.deadline, found.admitted_at, found.idle_timeout) == (START, START, 2**40)
    assert (found.stages, found.warned, found.groups, found.audited) == ({"place": 0.25}, (), [], True)


async def test_the_first_reason_stays(database: str) -> None:
    """A decided reason is not replaced by a later one or by the release."""
    wanted = spec()
    async with Store(database) as store:
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
async def test_a_flood_of_denied_names_is_one_row(database: str) -> None:
    """A sandbox that tries a thousand names keeps two hundred rows and one that counts the rest."""
    async with Store(database) as store:
        for first in range(0, 1000, 100):
            names = [f"h{number}.example" for number in range(first, first + 100)]
            await store.run(lambda db, names=names: [_denied(db, name) for name in names])  # type: ignore[misc]
        rows = await store.run(lambda db: happenings.denials_of(db, "sb-a", 1000))
    assert len(rows) == happenings.DENIALS_KEPT + 1
    assert sum(row["count"] for row in rows) == 1000


@pytest.mark.parametrize(
    ("host", "count"),
    [("nul\0nul", 1), ("\ud800", 1), (HOST * 3, 1), ("a.example", 2**33)],
    ids=["nul", "surrogate", "long", "many"],
)
async def test_no_name_that_a_sandbox_asks_for_stops_the_count(database: str, host: str, count: int) -> None:
    """What PostgreSQL cannot store as text or number is kept all the same, as near as it can be."""
    async with Store(database) as store:
        await store.run(lambda db: _denied(db, host, count))
        await store.run(lambda db: _denied(db, host, count))
        [row] = await store.run(lambda db: happenings.denials_of(db, "sb-a"))
    assert row["count"] == 2 * count


async def test_events_are_numbered_in_their_order_and_forgotten(database: str) -> None:
    """Whoever asks for what came after a number misses none; what is old goes with its sandboxes."""
    kept, gone, also_gone = spec("k"), spec("g"), spec("h")

    def live(connection: Connection) -> None:
        for wanted in (kept, gone, also_gone):
            records.admit(connection, asked(wanted), START, None)
            happenings.add_event(connection, wanted.id, START, "warning", {"words": "a\0b"})
            _denied(connection, "a.example", sandbox=wanted.id)
        for wanted in (gone, also_gone):
            records.release(connection, wanted.id, "ended.exit", "Exit.", START)

    async with Store(database) as store:
        await store.run(live)
        later = START.replace(microsecond=1)
        await store.run(lambda db: happenings.forget_old(db, later))
        left = [
            await store.run(lambda db, n=name.id: happenings.events_of(db, n, 0)) for name in (kept, gone)
        ]
        denied = await store.run(lambda db: happenings.denials_of(db, also_gone.id))
        assert [len(found) for found in left] == [1, 0]
        assert denied == []
        await store.run(lambda db: happenings.add_event(db, kept.id, START, "extended", {}))
        [new] = await store.run(lambda db: happenings.events_of(db, kept.id, left[0][0]["id"]))
    assert new["kind"] == "extended"


def _denied(connection: Connection, host: str, count: int = 1, sandbox: str = "sb-a") -> None:
    detail = {"host": host, "port": 443, "code": "egress.not_allowed", "count": count}
    event = Event(seq=1, time=START, kind="egress.denied", sandbox=sandbox, user="a", detail=detail)
    happenings.count_denial(connection, event)
