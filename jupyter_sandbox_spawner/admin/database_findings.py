"""Can control's database be used here? Looks only: it connects as control would, and asks nothing of it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError

from ..control.postgresql_database import Postgresql
from ..errors import SandboxError
from ..settings import Site
from .finding import Finding

__all__ = ["database_finding"]


def database_finding(site: Site) -> Finding:
    """Is the driver there, and does the server let control in, with a database that it can use?"""
    if not site.database:
        return Finding(name="database", fine=True, seen="SQLite, below state_dir")
    if find_spec("psycopg") is None:
        return Finding(
            name="database",
            fine=False,
            seen="PostgreSQL is set, and its driver psycopg is missing",
            remedy="pip install 'jupyter_sandbox_spawner[postgresql]'",
        )
    parts = urlsplit(site.database)
    shown = f"PostgreSQL, {parts.path.strip('/')} at {parts.hostname or 'its socket'}"
    uid = site.program_uids.get("control", os.geteuid())
    if not site.database_password_file and uid != os.geteuid():
        # The server knows who comes to its socket, and that would be somebody else.
        seen = f"{shown}; not tried, since only uid {uid} may log in without a password"
        return Finding(name="database", fine=True, seen=seen)
    try:
        version = _version(site)
    except SandboxError as error:
        return Finding(name="database", fine=False, seen=error.message, remedy=error.remedy)
    return Finding(name="database", fine=True, seen=f"{shown}, version {version}")


def _version(site: Site) -> str:
    database = Postgresql(site.database, 1.0, site.database_password_file)
    engine = database.make_engine()
    try:
        with engine.begin() as connection:
            database.prepare(connection)
            return str(connection.exec_driver_sql("SHOW server_version").scalar_one())
    except DBAPIError as error:
        raise database.explain(error, False) from error
    finally:
        engine.dispose()
