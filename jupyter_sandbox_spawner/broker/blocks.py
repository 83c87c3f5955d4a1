"""Which running sandboxes has an admin cut off from secrets? Kept on disk, until they have ended.

Law: it is on disk before the admin is told; what cannot be read blocks the start of the broker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from ..errors import ConfigurationError, RefusedError
from ..private_files import write_private

__all__ = ["Blocks", "blocked"]


class Blocks:
    """Ids of sandboxes, in one small file of the broker's directory."""

    def __init__(self, directory: str) -> None:
        self._path = Path(directory) / "blocked.json"
        self._ids = frozenset(_load(self._path))

    def holds(self, sandbox: str) -> bool:
        """Is it cut off?"""
        return sandbox in self._ids

    @property
    def ids(self) -> frozenset[str]:
        """All that are cut off."""
        return self._ids

    def add(self, sandboxes: Collection[str]) -> None:
        """Cut off; on disk when it returns."""
        self._keep(self._ids | frozenset(sandboxes))

    def forget(self, ended: Collection[str]) -> None:
        """These have ended, by control's answer about them: an id never comes back."""
        if self._ids & frozenset(ended):
            self._keep(self._ids - frozenset(ended))

    def _keep(self, ids: frozenset[str]) -> None:
        write_private(self._path, json.dumps(sorted(ids)).encode())
        self._ids = ids


def blocked() -> RefusedError:
    """What a sandbox is told that asks all the same."""
    return RefusedError(
        "An admin has ended this server's access to secrets.",
        code="secret.blocked",
        remedy="Ask the hub's admin why; a server that is started anew may read them again.",
    )


def _load(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise _unreadable(path, "not a list of ids")
    return found


def _unreadable(path: Path, why: object) -> ConfigurationError:
    return ConfigurationError(
        f"The list of sandboxes without access, {path}, cannot be read: {why}.",
        code="secret.blocks_unreadable",
        field="state_dir",
        remedy=f"Stop the servers that were cut off, then remove it: rm {os.fspath(path)}",
    )
