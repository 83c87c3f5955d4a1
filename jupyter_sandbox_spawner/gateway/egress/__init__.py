"""The only way out: an HTTP proxy that asks rules/egress.py and carries bytes."""

from __future__ import annotations

from .account import EgressAccount
from .limits import Limits
from .proxy import EgressHandler
from .resolve import Resolver, SystemResolver

__all__ = ["EgressAccount", "EgressHandler", "Limits", "Resolver", "SystemResolver"]
