"""How fast is it, beside a peer on the same machine in the same run? `python -m benchmarks --help`."""

from __future__ import annotations

__all__: list[str] = []
