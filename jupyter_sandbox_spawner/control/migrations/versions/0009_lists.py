"""What does the ninth schema add? Indexes by which a page of ten thousand sandboxes is found."""

from __future__ import annotations

from alembic import op

__all__ = ["upgrade"]

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_LISTED = ["status", "released_at", "user", "server", "profile", "admitted_at", "deadline", "id"]


def upgrade() -> None:
    """The index by status gets what a list is searched and sorted by; refused hosts one by their time."""
    op.drop_index("sandboxes_by_status", "sandboxes")
    op.create_index("sandboxes_by_status", "sandboxes", _LISTED)
    op.create_index("denials_by_time", "denials", ["last_at"])
