"""What is forgotten? What ended so long ago that no cap of GPU-hours, and no admin, looks back at it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete

from . import egress_records
from .tables_ledger import allocations, holdings

__all__ = ["KEPT", "forget_ended"]

KEPT = timedelta(days=400)  # a cap looks back at most 366 days (rules/quota_file.py)


def forget_ended(connection: Connection, now: datetime) -> None:
    """Drop holdings, allocations and requests for hosts that ended longer ago than `KEPT`; what nobody
    answered ends."""
    egress_records.expire(connection, now)
    egress_records.forget(connection, now - KEPT)
    for table in (holdings, allocations):
        connection.execute(delete(table).where(table.c.until < now - KEPT))
