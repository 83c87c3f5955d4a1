"""What does the hub load? The spawner: it turns a choice into a spec and asks launcher and gateway."""

from __future__ import annotations

__all__: list[str] = []
