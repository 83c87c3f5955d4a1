"""Control: admits sandboxes, decides when they end, records why, and mends what a crash left behind."""

from __future__ import annotations

__all__: list[str] = []
