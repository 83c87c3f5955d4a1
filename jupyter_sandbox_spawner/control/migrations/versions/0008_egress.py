"""What does the eighth schema add? Hosts that users asked for, and what was given until when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make both tables; nobody has asked for anything."""
    op.create_table(
        "egress_requests",
        sa.Column("id", _WHOLE, primary_key=True),
        sa.Column("sandbox", sa.String(23), nullable=False),
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("server", sa.String(255), nullable=False),
        sa.Column("profile", sa.String(63), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("asked_at", sa.String(26), nullable=False),
        sa.Column("decided_at", sa.String(26)),
        sa.Column("decided_by", sa.String(255)),
        sa.Column("answer", sa.Text(), nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    op.create_index("egress_requests_of_sandbox", "egress_requests", ["sandbox", "id"])
    op.create_index("egress_requests_by_status", "egress_requests", ["status", "id"])
    op.create_table(
        "egress_grants",
        sa.Column("id", _WHOLE, primary_key=True),
        sa.Column("request", _WHOLE, nullable=False),
        sa.Column("pattern", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(7), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("since", sa.String(26), nullable=False),
        sa.Column("until", sa.String(26), nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("why", sa.Text(), nullable=False, server_default=""),
        sa.Column("revoked_by", sa.String(255)),
        sa.Column("revoked_at", sa.String(26)),
        sa.Column("unwritten", sa.Integer(), nullable=False, server_default="0"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_egress_grants_request", "egress_grants", ["request"])
    op.create_index("egress_grants_of", "egress_grants", ["scope", "name", "until"])
