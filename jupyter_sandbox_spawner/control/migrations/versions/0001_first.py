"""What does the first schema hold? Sandboxes and what happened to them.

A migration repeats the tables instead of importing them: it must go on making what it made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
# On PostgreSQL, which it came to before it made anything there, as wide as SQLite's.
_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    _denials()
    _events()
    _extensions()
    _sandboxes()
    _settings()
    _settings_versions()


def _denials() -> None:
    op.create_table(
        "denials",
        sa.Column("sandbox", sa.String(length=23), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=63), nullable=False),
        sa.Column("rule", sa.String(length=255), nullable=False),
        sa.Column("count", _WHOLE, nullable=False),
        sa.Column("first_at", sa.String(26), nullable=False),
        sa.Column("last_at", sa.String(26), nullable=False),
        sa.PrimaryKeyConstraint("sandbox", "host", "port", "code"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", _WHOLE, nullable=False),
        sa.Column("sandbox", sa.String(length=23), nullable=False),
        sa.Column("at", sa.String(26), nullable=False),
        sa.Column("kind", sa.String(length=63), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_sandbox", "events", ["sandbox", "id"], unique=False)


def _extensions() -> None:
    op.create_table(
        "extensions",
        sa.Column("id", _WHOLE, nullable=False),
        sa.Column("sandbox", sa.String(length=23), nullable=False),
        sa.Column("at", sa.String(26), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("before", sa.String(26), nullable=False),
        sa.Column("after", sa.String(26), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_extensions_sandbox", "extensions", ["sandbox"], unique=False)


def _sandboxes() -> None:
    op.create_table(
        "sandboxes",
        sa.Column("id", sa.String(length=23), nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("server", sa.String(length=255), nullable=False),
        sa.Column("profile", sa.String(length=63), nullable=False),
        sa.Column("profile_digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("admitted_at", sa.String(26), nullable=False),
        sa.Column("ready_at", sa.String(26), nullable=True),
        sa.Column("released_at", sa.String(26), nullable=True),
        sa.Column("deadline", sa.String(26), nullable=True),
        sa.Column("first_deadline", sa.String(26), nullable=True),
        sa.Column("idle_timeout", _WHOLE, nullable=True),
        sa.Column("idle_floor", sa.String(26), nullable=True),
        sa.Column("used_at", sa.String(26), nullable=True),
        sa.Column("extend_by", _WHOLE, nullable=True),
        sa.Column("extend_at_most", _WHOLE, nullable=True),
        sa.Column("stop_code", sa.String(length=63), nullable=True),
        sa.Column("stop_why", sa.Text(), nullable=True),
        sa.Column("stop_actor", sa.String(length=255), nullable=True),
        sa.Column("stop_decided_at", sa.String(26), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("warned", sa.JSON(), nullable=False),
        sa.Column("audited", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sandboxes_by_status", "sandboxes", ["status", "released_at"], unique=False)
    op.create_index("sandboxes_of_server", "sandboxes", ["user", "server", "admitted_at"], unique=False)


def _settings() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("at", sa.String(26), nullable=True),
        sa.Column("number", sa.Float(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )


def _settings_versions() -> None:
    op.create_table(
        "settings_versions",
        sa.Column("id", _WHOLE, nullable=False),
        sa.Column("at", sa.String(26), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
