"""What does the third schema add? The user's groups as they were when each sandbox was admitted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of sandboxes that run already nobody remembers the groups."""
    op.add_column("sandboxes", sa.Column("groups", sa.JSON(), nullable=False, server_default="[]"))
