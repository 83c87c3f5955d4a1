"""Is every trouble with a PostgreSQL an error that says what to do, and is nothing done twice by it?"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection

from jupyter_sandbox_spawner.control import records
from jupyter_sandbox_spawner.control.postgresql_database import WRITE_LOCK, Postgresql
from jupyter_sandbox_spawner.control.store import Store, StoreError
from jupyter_sandbox_spawner.errors import ConfigurationError
from tests.support.control_databases import ControlPostgres, shared_postgres
from tests.support.cut_line import CutLine, cut_line
from tests.support.waiting import until

from .control_neighbours import START, asked, spec

pytestmark = pytest.mark.lane("postgresql")
Control = Callable[[str, bool], None]


@pytest.fixture
def server() -> ControlPostgres:
    """The PostgreSQL of this process."""
    return shared_postgres()


@pytest.fixture
def name(server: ControlPostgres) -> Iterator[str]:
    """A database in it."""
    made = server.make()
    yield made
    server.drop(made)


@pytest.fixture
def password_file(server: ControlPostgres, tmp_path: Path) -> Path:
    """Control's password, private."""
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text(server.password_file.read_text())
    return file


@asynccontextmanager
async def relayed(server: ControlPostgres, name: str, file: Path) -> AsyncIterator[tuple[Store, CutLine]]:
    """A store behind a line that can be cut."""
    async with cut_line(server.port) as line:
        address = f"postgresql://control@127.0.0.1:{line.listening}/{name}"
        async with Store(Postgresql(address, 0.5, str(file)), patience=1.5) as store:
            yield store, line


def admit_once(times: list[int], user: str = "alice") -> Callable[[Connection], None]:
    """An admission that notes how often it was run."""

    def question(connection: Connection) -> None:
        times.append(1)
        records.admit(connection, asked(spec(user)), START, None)

    return question


async def code_of(store: Store, question: Callable[[Connection], object] = records.all_open) -> StoreError:
    """The error that a question ends with."""
    with pytest.raises(StoreError) as caught:
        await store.run(question)
    return caught.value


async def test_a_held_lock_is_waited_for_and_then_an_error(server: ControlPostgres, name: str) -> None:
    """A question waits for the write lock of another session, then fails by name; later all is well."""
    async with Store(server.by_socket(name), lock_wait=0.3) as store:
        with psycopg.connect(server.by_socket(name)) as other:
            other.execute("SELECT pg_advisory_lock(%s)", (WRITE_LOCK,))
            began = asyncio.get_running_loop().time()
            error = await code_of(store)
            waited = asyncio.get_running_loop().time() - began
            other.execute("SELECT pg_advisory_unlock(%s)", (WRITE_LOCK,))
        assert error.code == "database.locked"
        assert 0.2 < waited < 10
        assert await store.run(records.all_open) == []


async def test_whoever_waited_for_the_lock_sees_what_was_written_meanwhile(
    server: ControlPostgres, name: str
) -> None:
    """What the holder of the lock committed is seen by the next, whatever level the server's default is."""
    server.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'", "postgres")
    address = server.by_socket(name)
    async with Store(address, 30.0, 60.0) as first, Store(address, 30.0, 60.0) as second:
        held, later = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold(connection: Connection) -> None:
            loop.call_soon_threadsafe(held.set)
            later.wait(10)
            admit_once([])(connection)

        holding = asyncio.create_task(first.run(hold))
        await held.wait()
        asking = asyncio.create_task(second.run(records.all_open))
        waiting = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND objid = {WRITE_LOCK & 0xFFFFFFFF}"
        await until(lambda: server.sql(waiting, "postgres") == ["1"])
        later.set()
        await holding
        assert len(await asking) == 1


async def test_what_cannot_be_sent_is_no_lost_server(server: ControlPostgres, name: str) -> None:
    """A text with NUL is refused before it is sent: the error does not say that the database is away."""
    async with Store(Postgresql(server.by_socket(name), 0.5)) as store:
        with pytest.raises(StoreError) as caught:
            await store.run(lambda db: records.known_for(db, spec("a\x00")))
    assert caught.value.code == "database.failed"


async def test_a_restart_of_the_server_is_not_noticed(server: ControlPostgres, name: str) -> None:
    """It may be restarted between questions; while it is away the error says that nothing was recorded."""
    async with Store(server.by_socket(name), lock_wait=0.3) as store:
        await store.run(admit_once([]))
        server.end(signal.SIGQUIT)
        error = await code_of(store, admit_once([], "bob"))
        server.resume()
        assert (error.code, error.status) == ("database.unreachable", 503)
        assert "Nothing was recorded" in error.remedy
        assert [record.user for record in await store.run(records.all_open)] == ["alice"]


async def test_a_question_that_loses_its_server_is_not_repeated(server: ControlPostgres, name: str) -> None:
    """The connection ends in the middle: it ran once, nothing of it is there, and the error says so."""
    times: list[int] = []
    async with Store(server.by_socket(name)) as store:

        def lose(connection: Connection) -> None:
            admit_once(times)(connection)
            server.sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                f" WHERE datname = '{name}' AND pid != pg_backend_pid()",
                "postgres",
            )
            connection.exec_driver_sql("SELECT 1")

        error = await code_of(store, lose)
        assert (error.code, len(times)) == ("database.unreachable", 1)
        assert "Nothing was recorded" in error.remedy
        assert await store.run(records.all_open) == []


async def test_a_commit_without_an_answer_is_told_as_what_it_is(
    server: ControlPostgres, name: str, password_file: Path
) -> None:
    """Whether it was recorded is said to be unknown; it was, once, and is found by the next question."""
    times: list[int] = []
    async with relayed(server, name, password_file) as (store, line):
        line.cut_after = b"COMMIT\0"
        error = await code_of(store, admit_once(times))
        assert (line.cuts, error.code, len(times)) == (1, "database.unreachable", 1)
        assert "is not known" in error.remedy
        assert len(await store.run(records.all_open)) == 1


async def test_a_silent_server_is_hung_up_on(server: ControlPostgres, name: str, password_file: Path) -> None:
    """A server that keeps the line open and says nothing costs the store's patience, never more."""
    async with relayed(server, name, password_file) as (store, line):
        await store.run(admit_once([]))
        line.silent = True
        began = asyncio.get_running_loop().time()
        error = await code_of(store)
        waited = asyncio.get_running_loop().time() - began
        line.silent = False
        assert error.code == "database.unreachable"
        assert waited < 15
        assert len(await store.run(records.all_open)) == 1


async def test_a_password_comes_from_a_private_file_and_goes_nowhere(
    server: ControlPostgres, name: str, password_file: Path, control: Control
) -> None:
    """The right one opens; a wrong one is refused by name; one that others can read is not even tried."""
    database = Postgresql(server.by_network(name), 0.5, str(password_file))
    async with Store(database) as store:
        assert await store.run(records.all_open) == []
        shown = await store.run(lambda db: str(db.exec_driver_sql("SELECT * FROM pg_stat_activity").all()))
    control("with the password it opens", True)
    password = _text(server.password_file)
    told = []
    for text, mode, code in (
        ("wrong\n", 0o600, "database.denied"),
        (password, 0o640, "database.password_file"),
        ("\n", 0o600, "database.password_file"),
    ):
        _write(password_file, text, mode)
        with pytest.raises(StoreError) as caught:
            await Store(database).__aenter__()
        assert caught.value.code == code
        told.append(str(caught.value))
    assert password not in "".join([*told, shown, repr(database.__dict__)])


def _text(file: Path) -> str:
    return file.read_text().strip()


def _write(file: Path, text: str, mode: int) -> None:
    file.write_text(text)
    file.chmod(mode)


async def test_two_controls_do_not_share_a_database(
    server: ControlPostgres, name: str, control: Control
) -> None:
    """The second one is refused with the reason, and may come when the first has gone."""
    address = server.by_socket(name)
    async with Store(Postgresql(address, 0.3, alone=True)):
        with pytest.raises(StoreError) as caught:
            await Store(Postgresql(address, 0.3, alone=True)).__aenter__()
        assert caught.value.code == "database.in_use"
        async with Store(address):
            control("an admin's own look is not refused", True)
    async with Store(Postgresql(address, 0.3, alone=True)) as store:
        assert await store.run(records.all_open) == []


async def test_what_control_may_not_do_is_named(server: ControlPostgres, name: str, control: Control) -> None:
    """No database of this name, no right to make tables, a server that only reads: each is `denied`."""
    async with Store(server.by_socket(name)):
        control("with its own database it opens", True)
    foreign = server.make()
    server.sql(f"ALTER DATABASE {foreign} OWNER TO postgres", "postgres")
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on", "postgres")
    async with Store(server.by_socket(name)) as store:
        assert (await code_of(store, admit_once([]))).code == "database.denied"
    for missing in (foreign, "nowhere"):
        with pytest.raises(StoreError) as caught:
            await Store(server.by_socket(missing)).__aenter__()
        assert caught.value.code == "database.denied", caught.value
    server.drop(foreign)


async def test_a_database_without_utf8_is_refused(server: ControlPostgres) -> None:
    """One that cannot hold every name is refused before anything is made in it."""
    ascii_only = f"ascii_{id(server)}"
    server.sql(
        f"CREATE DATABASE {ascii_only} OWNER control TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'",
        "postgres",
    )
    with pytest.raises(ConfigurationError) as caught:
        await Store(server.by_socket(ascii_only)).__aenter__()
    assert caught.value.code == "database.encoding"
    server.drop(ascii_only)


@pytest.fixture
def small_disk(server: ControlPostgres) -> Iterator[str]:
    """A database on a file system of 16 MiB."""
    with tempfile.TemporaryDirectory(prefix="cs", dir=server.directory) as place:
        options = "size=16m,mode=0700,uid=65534,gid=65534"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
        server.sql(f"CREATE TABLESPACE small LOCATION '{place}'", "postgres")
        made = server.make()
        server.sql(f"ALTER DATABASE {made} SET TABLESPACE small", "postgres")
        yield made
        server.drop(made)
        server.sql("DROP TABLESPACE small", "postgres")
        subprocess.run(["umount", place], check=True)


@pytest.mark.lane("root")
async def test_a_full_disk_is_an_error_and_nothing_is_half_written(
    server: ControlPostgres, small_disk: str
) -> None:
    """On a full disk a write fails by name and leaves what was there."""
    async with Store(server.by_socket(small_disk)) as store:
        await store.run(admit_once([]))

        def fill(connection: Connection) -> None:
            admit_once([], "bob")(connection)
            rows = "SELECT i, 'x', md5(i::text), 'd' FROM generate_series(1, 300000) AS i"
            connection.exec_driver_sql(f"INSERT INTO settings_versions (id, at, name, digest) {rows}")

        error = await code_of(store, fill)
        assert (error.code, error.status) == ("database.full", 503)
        assert [record.user for record in await store.run(records.all_open)] == ["alice"]
