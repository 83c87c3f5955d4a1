"""What does control keep in its database? One table a noun; the audit is not among them (it is files)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

__all__ = [
    "METADATA",
    "SCHEMA",
    "Utc",
    "Whole",
    "denials",
    "events",
    "extensions",
    "sandboxes",
    "settings",
    "settings_versions",
]

METADATA = MetaData()
SCHEMA = "0009"  # the last file in migrations/versions; a test compares them


# 64 bits everywhere: SQLite has no other, and PostgreSQL's INTEGER ends at 2**31.
Whole = BigInteger().with_variant(Integer, "sqlite")


class Utc(TypeDecorator[datetime]):
    """An aware UTC instant, kept as `2026-11-25 22:00:00.123456` so that text sorts as time."""

    impl = String(26)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Aware datetime to text."""
        if value is None:
            return None
        return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Text to aware datetime."""
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=timezone.utc)


sandboxes = Table(
    "sandboxes",
    METADATA,
    Column("id", String(23), primary_key=True),
    Column("user", String(255), nullable=False),
    Column("server", String(255), nullable=False),
    Column("profile", String(63), nullable=False),
    Column("profile_digest", String(64), nullable=False),
    Column("status", String(10), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("admitted_at", Utc, nullable=False),
    Column("ready_at", Utc),
    Column("released_at", Utc),
    Column("deadline", Utc),
    Column("first_deadline", Utc),
    Column("idle_timeout", Whole),
    Column("idle_floor", Utc),
    Column("used_at", Utc),
    Column("extend_by", Whole),
    Column("extend_at_most", Whole),
    Column("extend_times", Whole),
    Column("keep_until", Utc),
    Column("stop_code", String(63)),
    Column("stop_why", Text),
    Column("stop_actor", String(255)),
    Column("stop_decided_at", Utc),
    Column("exit_code", Integer),
    Column("stages", JSON, nullable=False, default=dict),
    Column("warned", JSON, nullable=False, default=list),
    Column("audited", Boolean, nullable=False, default=False),
    Column("grants", JSON, nullable=False, default=list, server_default="[]"),
    Column("groups", JSON, nullable=False, default=list, server_default="[]"),
    Index("sandboxes_of_server", "user", "server", "admitted_at"),
    # With everything that lists are searched and sorted by, so that only the rows of a page are read.
    Index(
        "sandboxes_by_status",
        *("status", "released_at", "user", "server", "profile", "admitted_at", "deadline", "id"),
    ),
)

extensions = Table(
    "extensions",
    METADATA,
    Column("id", Whole, primary_key=True),
    Column("sandbox", String(23), nullable=False, index=True),
    Column("at", Utc, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("before", Utc, nullable=False),
    Column("after", Utc, nullable=False),
    Column("key", String(64)),
)

events = Table(
    "events",
    METADATA,
    Column("id", Whole, primary_key=True),
    Column("sandbox", String(23), nullable=False),
    Column("at", Utc, nullable=False),
    Column("kind", String(63), nullable=False),
    Column("detail", JSON, nullable=False),
    Index("events_of_sandbox", "sandbox", "id"),
    sqlite_autoincrement=True,
)

denials = Table(
    "denials",
    METADATA,
    Column("sandbox", String(23), primary_key=True),
    Column("host", String(255), primary_key=True),
    Column("port", Integer, primary_key=True),
    Column("code", String(63), primary_key=True),
    Column("rule", String(255), nullable=False, default=""),
    Column("count", Whole, nullable=False),
    Column("first_at", Utc, nullable=False),
    Column("last_at", Utc, nullable=False),
    Index("denials_by_time", "last_at"),
)

settings = Table(
    "settings",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("at", Utc),
    Column("number", Float),
    Column("text", Text),
)

settings_versions = Table(
    "settings_versions",
    METADATA,
    Column("id", Whole, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("name", String(63), nullable=False),
    Column("digest", String(64), nullable=False),
)
