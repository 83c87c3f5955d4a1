"""How did the schema come to be? One file a step; alembic reads them."""

from __future__ import annotations

__all__: list[str] = []
