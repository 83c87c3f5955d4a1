"""The only way out: an HTTP proxy that asks rules/egress.py and carries bytes."""

from __future__ import annotations

from .account import EgressAccount

__all__ = ["EgressAccount"]
