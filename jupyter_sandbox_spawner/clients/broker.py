"""How do control and the admin command reach the broker? By a socket each; no value comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..rules.grants import Grant
from ..secret_names import check_name
from ..wire import decode, encode
from .grants import Reader
from .unix_http import UnixClient

__all__ = ["BrokerAdminClient", "BrokerControlClient", "Copying", "Prepared", "Preparing", "Whom"]

_COPY_TIME = 600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """A server that is about to start, and what its profile grants it."""

    reader: Reader
    grants: tuple[Grant, ...]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """`notice`: a sentence for the user where secrets cannot be read at present."""

    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class Whom:
    """Whose credentials are to end: one user's, one sandbox's, or everybody's."""

    user: str = ""
    sandbox: str = ""
    everybody: bool = False


@dataclass(frozen=True, kw_only=True)
class Copying:
    """Which secrets of the embedded store are copied to Vault; no names: all."""

    names: tuple[str, ...] = ()
    overwrite: bool = False
    dry_run: bool = False


class BrokerControlClient(UnixClient):
    """The broker's socket for control. Raises UnreachableError `broker.unreachable`, or AnswerError."""

    def __init__(self, path: str, timeout: float = 9.0) -> None:
        super().__init__("broker", path, timeout)

    async def prepare(self, reader: Reader, grants: Sequence[Grant]) -> Prepared:
        """May it start, as far as secrets go?"""
        asked = Preparing(reader=reader, grants=tuple(grants))
        return decode(Prepared, await self.call("POST", "/api/prepare", encode(asked)))

    async def keys(self) -> Any:
        """The public keys that Vault needs, as a JSON Web Key Set."""
        return await self.call("GET", "/api/keys")


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

    async def state(self) -> Any:
        """`{kind, ok, code, message, remedy, pending, cut_off}`."""
        return await self.call("GET", "/api/state")

    async def credentials(self) -> Any:
        """`{ids}`: accessors and leases that the broker knows."""
        return await self.call("GET", "/api/credentials")

    async def revoke(self, whom: Whom) -> Any:
        """End credentials: `{sandboxes, ended, queued}`."""
        return await self.call("POST", "/api/revocations", encode(whom))

    async def keys(self) -> Any:
        """`{keys, pems}`."""
        return await self.call("GET", "/api/keys")

    async def rotate(self) -> Any:
        """Make the next signing key: `{kid}`."""
        return await self.call("POST", "/api/keys")

    async def copy(self, copying: Copying) -> Any:
        """Copy secrets from the embedded store to Vault: `{copied, kept}`, names."""
        return await self.call("POST", "/api/copies", encode(copying), timeout=_COPY_TIME)

    async def delete(self, name: str) -> None:
        """Delete a secret."""
        await self.call("DELETE", f"/api/secrets/{check_name(name)}")
