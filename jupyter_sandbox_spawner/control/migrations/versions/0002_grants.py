"""What does the second schema add? The secrets that each sandbox may read, as they were at its admission."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; sandboxes that run already were granted none."""
    op.add_column("sandboxes", sa.Column("grants", sa.JSON(), nullable=False, server_default="[]"))
