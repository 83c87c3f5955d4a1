"""How is a part of the cgroup tree handed to an ordinary user? As `Delegate=yes` does it, on v1 and v2."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.ordinary import OrdinaryUser

__all__ = ["handed_cgroup"]

_TOP = Path("/sys/fs/cgroup")


@contextmanager
def handed_cgroup(user: OrdinaryUser) -> Iterator[OrdinaryUser]:
    """The user, whose programs start in a cgroup of their own; it is taken away when the block ends."""
    places = [top / user.name for top in _hierarchies()]
    try:
        for place in places:
            _hand(place, user)
        yield replace(user, cgroups=tuple(map(str, places)))
    finally:
        for place in places:
            for below, _, _ in os.walk(place, topdown=False):
                os.rmdir(below)


def _hierarchies() -> list[Path]:
    if (_TOP / "cgroup.controllers").exists():
        (_TOP / "cgroup.subtree_control").write_text("+memory +pids +cpu")
        return [_TOP]
    tops = [place for place in _TOP.iterdir() if place.is_dir() and not place.is_symlink()]
    return [place for place in tops if place.name != "unified"]


def _hand(place: Path, user: OrdinaryUser) -> None:
    place.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):  # v1: without them nothing may run there
        if (place / name).exists():
            (place / name).write_text((place.parent / name).read_text())
            (place / "cgroup.clone_children").write_text("1")
    for path in (place, *(place / name for name in ("cgroup.procs", "tasks", "cgroup.subtree_control"))):
        if path.exists():
            shutil.chown(path, user.name, user.name)
