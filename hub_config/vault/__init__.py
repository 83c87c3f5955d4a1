"""What does a site with Vault need? Policies and `setup`; and a Vault of one's own, to try things with."""

from __future__ import annotations

__all__: list[str] = []
