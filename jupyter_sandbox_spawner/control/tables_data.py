"""What does control keep about data? Tags that only two people lower, approvals, and what catalogues said."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, Integer, String, Table, Text

from .tables import METADATA, Utc

__all__ = ["dataset_approvals", "dataset_imports", "dataset_lowerings", "dataset_tags"]

dataset_tags = Table(
    "dataset_tags",
    METADATA,
    Column("key", String(511), primary_key=True),  # a dataset's id, or its uri
    Column("tag", String(15), nullable=False),
    Column("at", Utc, nullable=False),
    Column("by", String(255), nullable=False),
)

dataset_lowerings = Table(
    "dataset_lowerings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("dataset", String(63), nullable=False, index=True),
    Column("tag", String(15), nullable=False),
    Column("first_by", String(255), nullable=False),
    Column("first_at", Utc, nullable=False),
    Column("first_why", Text, nullable=False),
    Column("second_by", String(255)),
    Column("second_at", Utc),
    Column("second_why", Text),
)

dataset_approvals = Table(
    "dataset_approvals",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("dataset", String(63), nullable=False),
    Column("kind", String(7), nullable=False),  # user or group
    Column("name", String(255), nullable=False),
    Column("tag", String(15), nullable=False),
    Column("until", Utc, nullable=False),
    Column("first_by", String(255), nullable=False),
    Column("first_at", Utc, nullable=False),
    Column("first_why", Text, nullable=False),
    Column("second_by", String(255)),
    Column("second_at", Utc),
    Column("second_why", Text),
    Column("revoked_by", String(255)),
    Column("revoked_at", Utc),
    Index("approvals_of_dataset", "dataset", "kind", "name"),
)

dataset_imports = Table(
    "dataset_imports",
    METADATA,
    Column("source", String(255), primary_key=True),
    Column("at", Utc, nullable=False),
    Column("tags", JSON, nullable=False),
)
