"""On which database does control keep its records in a test? A fresh one of SQLite, or of a real PostgreSQL.

SANDBOX_CONTROL_DB=postgresql gives every test of control PostgreSQL; without it only those that ask get one.
"""

from __future__ import annotations

import atexit
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url

from hub_config.vault.own_postgres import OwnPostgres

__all__ = ["BOTH", "KIND", "ControlPostgres", "ask", "fresh_database", "shared_postgres"]

KIND = os.environ.get("SANDBOX_CONTROL_DB", "sqlite")
# Parameters of a test that runs on each.
BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.lane("postgresql")))
_TEMPLATE = "control_template"


class ControlPostgres(OwnPostgres):
    """A server with the role `control`; `make` and `drop` its databases."""

    def _fill(self) -> None:
        password = secrets.token_urlsafe(24)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(password + "\n")
        self.sql(f"CREATE ROLE control LOGIN PASSWORD '{password}'", "postgres")
        # People's databases sort as people do; control must not mind.
        locale = "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
        self.sql(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0 {locale}", "postgres")

    def make(self) -> str:
        """An empty database that control owns; its name."""
        name = f"c{secrets.token_hex(6)}"
        self._act(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} OWNER control")
        return name

    def drop(self, name: str) -> None:
        """Remove it, whoever is connected."""
        self._act(f"DROP DATABASE {name} WITH (FORCE)")

    def _act(self, statement: str) -> None:
        import psycopg

        place: dict[str, Any] = {"host": str(self.directory), "port": self.port, "user": "postgres"}
        with psycopg.connect(dbname="postgres", autocommit=True, **place) as connection:
            connection.execute(statement)

    def by_socket(self, name: str) -> str:
        """The address by its socket, which trusts whoever reaches it."""
        return f"postgresql://control@/{name}?host={self.directory}&port={self.port}"

    def by_network(self, name: str) -> str:
        """The address by TCP, where the password of `password_file` is asked for."""
        return f"postgresql://control@127.0.0.1:{self.port}/{name}"


@cache
def shared_postgres() -> ControlPostgres:
    """One server for this process, begun when it is first wanted (2 s)."""
    server = ControlPostgres()
    server.start()
    atexit.register(server.stop)
    return server


@contextmanager
def fresh_database(directory: Path, kind: str = KIND) -> Iterator[str]:
    """The address of a database with nothing in it, not even a schema: a path below `directory`, or a URL."""
    if kind == "sqlite":
        yield str(directory / "db/control.sqlite")
        return
    server = shared_postgres()
    name = server.make()
    try:
        yield server.by_socket(name)
    finally:
        server.drop(name)


def ask(address: str, statement: str) -> list[Any]:
    """The rows that a statement gives outside of the store; what it changes is committed."""
    url = make_url(address if "://" in address else f"sqlite:///{address}")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            done = connection.exec_driver_sql(statement)
            return list(done.all()) if done.returns_rows else []
    finally:
        engine.dispose()
