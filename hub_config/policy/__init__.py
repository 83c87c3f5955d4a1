"""How does a site run an OPA beside the typed rules? The program's build, a policy to begin with, questions."""

from __future__ import annotations

__all__: list[str] = []
