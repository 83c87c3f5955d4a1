"""What is decided? Pure functions: no I/O, no clock, no await."""

from __future__ import annotations

__all__: list[str] = []
