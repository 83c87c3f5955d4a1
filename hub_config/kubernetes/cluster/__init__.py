"""How is a real cluster run on one machine, without a registry? For tests, and to try things with."""

from __future__ import annotations

__all__: list[str] = []
