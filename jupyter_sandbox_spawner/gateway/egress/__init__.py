"""The only way out: an HTTP proxy that asks rules/egress.py and carries bytes."""

from __future__ import annotations

from ...clients.resolve import Resolver, SystemResolver
from .account import EgressAccount
from .limits import Limits
from .proxy import EgressHandler

__all__ = ["EgressAccount", "EgressHandler", "Limits", "Resolver", "SystemResolver"]
