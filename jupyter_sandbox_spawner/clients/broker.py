"""How does the admin command reach the broker's store? By a socket of its own; no value comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..secret_names import check_name
from .unix_http import UnixClient

__all__ = ["BrokerAdminClient"]


class BrokerAdminClient(UnixClient):
    """The broker's admin socket. Raises UnreachableError `broker.unreachable`, or AnswerError."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        super().__init__("broker", path, timeout)

    async def secrets(self) -> Any:
        """`{items: [{name, fields, size, changed_at, changed_by}]}`."""
        return await self.call("GET", "/api/secrets")

    async def put(self, name: str, fields: Mapping[str, str]) -> None:
        """Store or replace a secret."""
        await self.call("PUT", f"/api/secrets/{check_name(name)}", {"fields": dict(fields)})

    async def delete(self, name: str) -> None:
        """Delete a secret."""
        await self.call("DELETE", f"/api/secrets/{check_name(name)}")
