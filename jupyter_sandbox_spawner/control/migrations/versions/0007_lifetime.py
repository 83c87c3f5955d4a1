"""What does the seventh schema add? How often an end may be moved, and how long a user asked to be kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sandboxes that are open may be extended as often as before, and nobody asked for them to be kept."""
    op.add_column(
        "sandboxes", sa.Column("extend_times", sa.BigInteger().with_variant(sa.Integer(), "sqlite"))
    )
    op.add_column("sandboxes", sa.Column("keep_until", sa.String(26)))
    op.add_column("extensions", sa.Column("key", sa.String(64)))
