"""What does the ledger forget? What ended so long ago that no cap of GPU-hours looks back at it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete

from .tables_ledger import allocations, holdings

__all__ = ["KEPT", "forget_ended"]

KEPT = timedelta(days=400)  # a cap looks back at most 366 days (rules/quota_file.py)


def forget_ended(connection: Connection, now: datetime) -> None:
    """Drop holdings and allocations that ended longer ago than `KEPT`; usage has rows of its own."""
    for table in (holdings, allocations):
        connection.execute(delete(table).where(table.c.until < now - KEPT))
