"""How is a small private file replaced so that a crash leaves the old one or the new one, never half?"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["sync_directory", "write_private"]


def write_private(path: Path, raw: bytes) -> None:
    """Write beside with mode 0600, sync, rename, sync the directory. Raises OSError."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        view = memoryview(raw)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make a rename or removal in it last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
