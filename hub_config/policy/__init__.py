"""How does a site run an OPA beside the typed rules? Its build, a policy, questions to try it."""

from __future__ import annotations

__all__: list[str] = []
