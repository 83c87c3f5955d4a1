"""What does the sixth schema add? What was used, by sandbox and day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; what sandboxes that are open used so far is counted at the next pass."""
    op.create_table(
        "usage",
        sa.Column("sandbox", sa.String(23), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("profile", sa.String(63), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("gpu_kind", sa.String(255), nullable=False, server_default=""),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("gb_seconds", sa.Float(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.Column("until", sa.String(26), nullable=False),
        sa.Column("counter", sa.Float()),
    )
    op.create_index("usage_of_day", "usage", ["day"])
    op.create_index("usage_of_user", "usage", ["user", "day"])
