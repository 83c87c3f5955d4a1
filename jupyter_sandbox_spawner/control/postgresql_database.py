"""How are control's records kept in PostgreSQL? In a database of their own, through one connection.

Law: a transaction reads nothing before it holds the advisory lock, and is never run twice by itself.
Law: every wait has an end: for a connection, for the lock, for a statement, and for a server that is silent.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError
from ..rules.database import check_database
from .databases import StoreError
from .postgresql_errors import LOCKED, explain_postgresql

__all__ = ["ANSWER", "WRITE_LOCK", "Postgresql", "read_password"]

ANSWER = 10.0  # seconds a statement may take
WRITE_LOCK = 0x6A7373_0001  # of this database; whoever holds it is the only one who reads and writes
_ALONE = 0x6A7373_0002  # held by a running control as long as it is connected
_CONNECT = 3  # seconds; libpq takes whole ones


class Postgresql:
    """A `Database` behind a URL without a password, which is read from `password_file` at each connection.

    `alone`: no second one of these may be connected; a control claims its database with it.
    """

    def __init__(self, url: str, lock_wait: float, password_file: str = "", alone: bool = False) -> None:
        check_database(url, password_file)
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self.name = f"{self._url.database} at {self._url.host or self._url.query.get('host')}"
        self._lock_wait = lock_wait
        self._password_file = password_file
        self._alone = alone
        self._connection: Any = None

    def make_engine(self) -> Engine:
        """One connection, whose transactions begin with the write lock."""
        # With any other level the snapshot would be taken before the lock is held.
        options: dict[str, Any] = {"isolation_level": "READ COMMITTED", "pool_size": 1, "max_overflow": 0}
        try:
            engine = create_engine(self._url, pool_pre_ping=True, connect_args=self._arguments(), **options)
        except ImportError as error:
            raise ConfigurationError(
                "database: PostgreSQL is set, and its driver psycopg is missing.",
                code="database.driver_missing",
                field="database",
                remedy="pip install 'jupyter_sandbox_spawner[postgresql]'",
            ) from error
        event.listen(engine, "do_connect", self._give_password)
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "begin", _take_lock)
        return engine

    def _arguments(self) -> Mapping[str, Any]:
        limit = int((self._lock_wait + ANSWER) * 1000)
        settings = {
            "lock_timeout": int(self._lock_wait * 1000),
            "statement_timeout": limit,
            # A control that was stopped in the middle must not keep the lock from the next one.
            "idle_in_transaction_session_timeout": limit,
        }
        return {
            "connect_timeout": _CONNECT,
            "application_name": "jupyter-sandbox-control",
            "client_encoding": "utf8",
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": limit,
        }

    def _give_password(self, dialect: Any, record: Any, args: Any, parameters: dict[str, Any]) -> None:
        if self._password_file:
            parameters["password"] = read_password(self._password_file)

    def _connected(self, connection: Any, record: Any) -> None:
        self._connection = connection
        if self._alone:
            try:
                # Waited for: the server may not have noticed yet that our last process was killed.
                connection.execute("SELECT pg_advisory_lock(%s)", (_ALONE,))
                connection.commit()
            except Exception as error:
                connection.close()
                if getattr(error, "sqlstate", "") != LOCKED:
                    raise
                raise self._in_use() from error

    def _in_use(self) -> StoreError:
        return StoreError(
            f"Another control works on the database {self.name}.",
            code="database.in_use",
            remedy="Give each site a database of its own; pg_stat_activity says who is connected.",
        )

    def prepare(self, connection: Connection) -> None:
        """Refuse a database that cannot hold every name, and let the upgrade take its time."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise ConfigurationError(
                f"The database {self.name} has the encoding {encoding}.",
                code="database.encoding",
                field="database",
                remedy="Make it anew: createdb --template=template0 --encoding=UTF8 --owner=control NAME",
            )
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

    def settle(self) -> None:
        """Nothing: who may read it is the server's to say."""

    def interrupt(self) -> None:
        """Hang up: a server that says nothing does not answer a request to cancel, either."""
        if self._connection is None:
            return
        from psycopg import Error

        with suppress(OSError, Error), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def explain(self, error: DBAPIError, committing: bool) -> StoreError:
        """By SQLSTATE, and where the connection was lost, whether anything can have been recorded."""
        return explain_postgresql(self.name, error, committing)


def _take_lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


def read_password(path: str) -> str:
    """The password in a file that nobody else may read. Raises StoreError `database.password_file`."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        password = Path(path).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise _no_password(path, f"cannot be read: {why}") from error
    if mode & 0o077:
        raise _no_password(path, f"may be read by others (mode {mode:o})")
    if not password:
        raise _no_password(path, "is empty")
    return password


def _no_password(path: str, what: str) -> StoreError:
    remedy = f"The password alone, for control's uid alone: install -m 600 -o jss-control /dev/stdin {path}"
    return StoreError(f"database_password_file: {path} {what}.", code="database.password_file", remedy=remedy)
