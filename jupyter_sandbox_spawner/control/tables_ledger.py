"""What does the ledger keep? What each sandbox holds under whose name, which devices it has, who waits."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, String, Table

from .tables import METADATA, Utc, Whole

__all__ = ["FIRST_TICKET", "allocations", "holdings", "reservations", "tickets"]

FIRST_TICKET = 1_000_001  # numbers below it are of places that a crash gave back, before all others

# A sandbox has one line for its user, one for each of the user's groups and one for its profile: a sum over
# one name reads one range of the index. Lines with GPUs stay after its end, for GPU-hours.
holdings = Table(
    "holdings",
    METADATA,
    Column("scope", String(7), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("sandbox", String(23), primary_key=True),
    Column("cpu", Float, nullable=False),
    Column("memory", Whole, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("since", Utc, nullable=False),
    Column("until", Utc),
    # Everything that a sum reads, so that it never leaves the index.
    Index("holdings_by_end", "scope", "name", "until", "sandbox", "cpu", "memory", "gpus"),
    Index("holdings_of_sandbox", "sandbox"),
)

allocations = Table(
    "allocations",
    METADATA,
    Column("id", Whole, primary_key=True),
    Column("device", String(255), nullable=False),
    Column("kind", String(255), nullable=False),
    Column("parent", String(255), nullable=False),
    Column("sandbox", String(23), nullable=False),
    Column("user", String(255), nullable=False),
    Column("server", String(255), nullable=False),
    Column("profile", String(63), nullable=False),
    Column("wanted", String(255), nullable=False),  # the kind that was asked for, "" where nobody knows
    Column("since", Utc, nullable=False),
    Column("until", Utc),
    Index("allocations_of_sandbox", "sandbox"),
    sqlite_autoincrement=True,
)
# The database itself refuses to give one device twice.
Index(
    "allocations_open",
    allocations.c.device,
    unique=True,
    sqlite_where=allocations.c.until.is_(None),
    postgresql_where=allocations.c.until.is_(None),
)

tickets = Table(
    "tickets",
    METADATA,
    Column("id", Whole, primary_key=True),
    Column("user", String(255), nullable=False),
    Column("server", String(255), nullable=False),
    Column("profile", String(63), nullable=False),
    Column("kind", String(255), nullable=False),
    Column("count", Integer, nullable=False),
    Column("ttl", Whole),
    Column("at", Utc, nullable=False),
    Column("kept_until", Utc, nullable=False),
    Column("reserved_until", Utc),
    Index("tickets_of_server", "user", "server", unique=True),
    sqlite_autoincrement=True,
)

reservations = Table(
    "reservations",
    METADATA,
    Column("device", String(255), primary_key=True),
    Column("ticket", Whole, nullable=False),
)
