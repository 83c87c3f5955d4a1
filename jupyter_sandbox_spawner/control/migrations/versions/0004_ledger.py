"""What does the fourth schema add? The ledger: what sandboxes hold, which devices they have, who waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; what runs already is counted for its user, its groups and its profile."""
    _holdings()
    _allocations()
    _queue()
    _count_what_runs()


def _holdings() -> None:
    op.create_table(
        "holdings",
        sa.Column("scope", sa.String(length=7), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("sandbox", sa.String(length=23), nullable=False),
        sa.Column("cpu", sa.Float(), nullable=False),
        sa.Column("memory", _WHOLE, nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("since", sa.String(26), nullable=False),
        sa.Column("until", sa.String(26), nullable=True),
        sa.PrimaryKeyConstraint("scope", "name", "sandbox"),
    )
    summed = ["scope", "name", "until", "sandbox", "cpu", "memory", "gpus"]
    op.create_index("holdings_by_end", "holdings", summed, unique=False)
    op.create_index("holdings_of_sandbox", "holdings", ["sandbox"], unique=False)


def _allocations() -> None:
    op.create_table(
        "allocations",
        sa.Column("id", _WHOLE, nullable=False),
        sa.Column("device", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("parent", sa.String(length=255), nullable=False),
        sa.Column("sandbox", sa.String(length=23), nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("server", sa.String(length=255), nullable=False),
        sa.Column("profile", sa.String(length=63), nullable=False),
        sa.Column("wanted", sa.String(length=255), nullable=False),
        sa.Column("since", sa.String(26), nullable=False),
        sa.Column("until", sa.String(26), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("allocations_of_sandbox", "allocations", ["sandbox"], unique=False)
    still = sa.text("until IS NULL")
    op.create_index(
        "allocations_open", "allocations", ["device"], unique=True, sqlite_where=still, postgresql_where=still
    )


def _queue() -> None:
    op.create_table(
        "tickets",
        sa.Column("id", _WHOLE, nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("server", sa.String(length=255), nullable=False),
        sa.Column("profile", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("ttl", _WHOLE, nullable=True),
        sa.Column("at", sa.String(26), nullable=False),
        sa.Column("kept_until", sa.String(26), nullable=False),
        sa.Column("reserved_until", sa.String(26), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("tickets_of_server", "tickets", ["user", "server"], unique=True)
    # Numbers below are for places that a crash gives back, which come before all others.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('tickets', 1000000)")
    else:
        op.execute("ALTER SEQUENCE tickets_id_seq RESTART WITH 1000001")
    op.create_table(
        "reservations",
        sa.Column("device", sa.String(length=255), nullable=False),
        sa.Column("ticket", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("device"),
    )


def _count_what_runs() -> None:
    names = ("id", "user", "profile", "groups", "admitted_at", "status", "spec")
    types = {"groups": sa.JSON(), "spec": sa.JSON()}
    running = sa.table("sandboxes", *(sa.column(name, types.get(name, sa.String())) for name in names))
    columns = ("scope", "name", "sandbox", "cpu", "memory", "gpus", "since")
    holdings = sa.table("holdings", *(sa.column(name) for name in columns))
    for row in op.get_bind().execute(sa.select(running).where(running.c.status != "released")).mappings():
        resources = (row["spec"] or {}).get("resources", {})
        held = {"cpu": resources.get("cpu", 0.0), "memory": resources.get("memory", 0), "gpus": 0}
        shares = {("user", row["user"]), ("profile", row["profile"])}
        shares |= {("group", group) for group in row["groups"] or ()}
        for scope, name in sorted(shares):
            line = {"scope": scope, "name": name, "sandbox": row["id"], "since": row["admitted_at"], **held}
            op.execute(holdings.insert().values(line))
