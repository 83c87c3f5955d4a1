"""Which users did the hub delete whose homes are not in quarantine yet? One empty file each.

Law: written before the attempt and removed after it, so that no crash gives a home to the next of that name.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..names import stable_hash

__all__ = ["Farewells"]


class Farewells:
    """A directory of the hub's own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def has(self, user: str) -> bool:
        """Is this user's home still to be put away?"""
        return self._file(user).exists()

    def add(self, user: str) -> None:
        """Remember, durably."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(self._file(user), os.O_WRONLY | os.O_CREAT, 0o600))
        self._sync()

    def remove(self, user: str) -> None:
        """It is done."""
        self._file(user).unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _file(self, user: str) -> Path:
        return self._directory / stable_hash("farewell", user, length=32)
