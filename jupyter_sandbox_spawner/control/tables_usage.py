"""Where is kept what was used? A row for each sandbox and day."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, String, Table, Text

from .tables import METADATA, Utc

__all__ = ["usage"]

# `groups` is the text of a JSON list, because PostgreSQL cannot group by its type JSON. `until` and `counter`
# say up to which instant and which reading of the processor time everything is in the row.
usage = Table(
    "usage",
    METADATA,
    Column("sandbox", String(23), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("user", String(255), nullable=False),
    Column("profile", String(63), nullable=False),
    Column("groups", Text, nullable=False),
    Column("gpu_kind", String(255), nullable=False, default="", server_default=""),
    Column("seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("gb_seconds", Float, nullable=False),
    Column("gpu_seconds", Float, nullable=False),
    Column("until", Utc, nullable=False),
    Column("counter", Float),
    Index("usage_of_day", "day"),
    Index("usage_of_user", "user", "day"),
)
