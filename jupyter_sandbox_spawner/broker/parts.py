"""What does every part of the broker share? Made once by app.py, frozen, handed down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..clients.grants import ControlBrokerClient
from .blocks import Blocks
from .file_store import FileStore
from .journal import Journal
from .store import SecretStore

if TYPE_CHECKING:
    # A site without Vault needs none of its packages.
    from .signing import Signer
    from .vault_store import VaultStore

__all__ = ["Parts", "VaultParts"]


@dataclass(frozen=True, kw_only=True)
class VaultParts:
    """What only a site with Vault has. `files` is the embedded store, from which secrets can be copied."""

    store: VaultStore
    signer: Signer
    journal: Journal
    files: FileStore


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The shared parts of one running broker."""

    store: SecretStore
    blocks: Blocks
    control: ControlBrokerClient
    vault: VaultParts | None = None
