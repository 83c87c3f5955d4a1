"""What does control keep about hosts that users asked for? What they asked, and what was given until when."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table, Text

from .tables import METADATA, Utc, Whole

__all__ = ["egress_grants", "egress_requests"]

egress_requests = Table(
    "egress_requests",
    METADATA,
    Column("id", Whole, primary_key=True),
    Column("sandbox", String(23), nullable=False),
    Column("user", String(255), nullable=False),
    Column("server", String(255), nullable=False),
    Column("profile", String(63), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("host", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("status", String(10), nullable=False),  # waiting, approved, denied, withdrawn, expired
    Column("asked_at", Utc, nullable=False),
    Column("decided_at", Utc),
    Column("decided_by", String(255)),
    Column("answer", Text, nullable=False, default="", server_default=""),
    Index("egress_requests_of_sandbox", "sandbox", "id"),
    Index("egress_requests_by_status", "status", "id"),
    sqlite_autoincrement=True,
)

egress_grants = Table(
    "egress_grants",
    METADATA,
    Column("id", Whole, primary_key=True),
    Column("request", Whole, nullable=False, index=True),
    Column("pattern", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("scope", String(7), nullable=False),  # sandbox, user, group
    Column("name", String(255), nullable=False),  # the sandbox's id, the user, the group
    Column("since", Utc, nullable=False),
    Column("until", Utc, nullable=False),
    Column("by", String(255), nullable=False),
    Column("why", Text, nullable=False, default="", server_default=""),
    Column("revoked_by", String(255)),
    Column("revoked_at", Utc),
    Column(
        "unwritten", Integer, nullable=False, default=0, server_default="0"
    ),  # 1: revoked, not in the audit
    Index("egress_grants_of", "scope", "name", "until"),
    sqlite_autoincrement=True,
)
