"""How does a site run an OPA beside the typed rules? Its build, a first policy, questions to try."""

from __future__ import annotations

__all__: list[str] = []
