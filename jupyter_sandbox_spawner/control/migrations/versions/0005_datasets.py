"""What does the fifth schema add? Tags and approvals of datasets, and what other catalogues said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; nothing that ran before mounted a dataset."""
    op.create_table(
        "dataset_tags",
        sa.Column("key", sa.String(length=511), nullable=False),
        sa.Column("tag", sa.String(length=15), nullable=False),
        sa.Column("at", sa.String(26), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "dataset_lowerings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("tag", sa.String(length=15), nullable=False),
        *_two_people(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_dataset_lowerings_dataset", "dataset_lowerings", ["dataset"], unique=False)
    op.create_table(
        "dataset_approvals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=7), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tag", sa.String(length=15), nullable=False),
        sa.Column("until", sa.String(26), nullable=False),
        *_two_people(),
        sa.Column("revoked_by", sa.String(length=255), nullable=True),
        sa.Column("revoked_at", sa.String(26), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("approvals_of_dataset", "dataset_approvals", ["dataset", "kind", "name"], unique=False)
    op.create_table(
        "dataset_imports",
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("at", sa.String(26), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )


def _two_people() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("first_by", sa.String(length=255), nullable=False),
        sa.Column("first_at", sa.String(26), nullable=False),
        sa.Column("first_why", sa.Text(), nullable=False),
        sa.Column("second_by", sa.String(length=255), nullable=True),
        sa.Column("second_at", sa.String(26), nullable=True),
        sa.Column("second_why", sa.Text(), nullable=True),
    )
