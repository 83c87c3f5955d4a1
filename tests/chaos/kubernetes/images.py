"""What is in the image of these tests? This machine's Python with our package, for user and link alike."""

from __future__ import annotations

import tarfile
from pathlib import Path

import jupyter_sandbox_spawner
from tests.kubernetes.images import PREFIX, library_of, make_root

__all__ = ["IMAGE", "PREFIX", "make_real_root"]

IMAGE = "docker.io/local/chaos-python:test"
_OWN = Path(jupyter_sandbox_spawner.__file__).parent
_LEFT_OUT = {"__pycache__", "labextension"}


def make_real_root(file: Path) -> None:
    """Write `file`: the small image with the real link and the real pid 1 in it."""
    make_root(file)
    with tarfile.open(file, "a") as archive:
        place = str(library_of() / _OWN.name).lstrip("/")
        archive.add(_OWN, place, filter=_wanted)


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if _LEFT_OUT & set(entry.name.split("/")):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
