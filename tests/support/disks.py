"""How is a disk small, and how is it full?"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["full", "small"]


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """Not one block is free below a directory, until the end."""
    ballast = directory / "ballast"
    try:
        with ballast.open("wb", buffering=0) as stream:
            for size in (64 << 20, 1 << 20, 4096):
                with contextlib.suppress(_FullError):
                    while True:
                        _write(stream.fileno(), size)
        assert shutil.disk_usage(directory).free == 0
        yield
    finally:
        ballast.unlink()


class _FullError(Exception):
    pass


def _write(descriptor: int, size: int) -> None:
    place = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        os.posix_fallocate(descriptor, place, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _FullError from error


@contextmanager
def small(directory: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0711", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)
