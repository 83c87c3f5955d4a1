"""What does the demo bring? A toy login, local upstreams, and a visitor who plays the story of a user."""

from __future__ import annotations

__all__: list[str] = []
