"""Which directories of the launcher's belong to no sandbox, and where are they kept before they go?

Law: a name is only ever used after it was found in our own directory; a link is taken away, never followed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path

from ..leftovers import Leftover
from ..names import is_sandbox_id
from ..serving import private_directory
from .oci.kernel import mounts_below, unmount

__all__ = ["Asides"]

_KEPT_AS = re.compile(r"(sb-[a-z2-7]{20})-(\d{8}T\d{6}Z)")
_STAMP = "%Y%m%dT%H%M%SZ"


class Asides:
    """`bundles` holds one directory a sandbox; what nobody knows moves to a directory beside it."""

    def __init__(self, bundles: Path) -> None:
        self._bundles = bundles
        self._quarantine = bundles.parent / "quarantine"

    def find(self, known: Collection[str]) -> list[Leftover]:
        """Bundles of sandboxes that are not `known`, mounts in such, and what was moved aside."""
        found = [
            Leftover(kind="bundle", name=path.name, sandbox=path.name, since=_changed(path), detail=str(path))
            for path in sorted(self._bundles.iterdir())
            if is_sandbox_id(path.name) and path.name not in known
        ]
        return [*found, *self._mounts(known), *self._kept()]

    def _mounts(self, known: Collection[str]) -> list[Leftover]:
        names = {Path(point).relative_to(self._bundles).parts[:1] for point in self._points("")}
        return [
            Leftover(kind="mount", name=name, sandbox=name, detail=f"{self._bundles}/{name}")
            for (name,) in sorted(part for part in names if part)
            if is_sandbox_id(name) and name not in known
        ]

    def _kept(self) -> list[Leftover]:
        found = []
        for path in sorted(self._quarantine.iterdir()) if self._quarantine.is_dir() else ():
            if parts := _KEPT_AS.fullmatch(path.name):
                since = datetime.strptime(parts[2], _STAMP).replace(tzinfo=timezone.utc)
                item = Leftover(kind="quarantined", name=path.name, sandbox=parts[1], since=since)
                found.append(item)
        return found

    def clear(self, item: Leftover) -> None:
        """Take away one that `find` has just found. Raises OSError."""
        if item.kind == "mount":
            self._unmount(item.name)
        elif item.kind == "bundle":
            self._unmount(item.name)
            self._move_aside(self._bundles / item.name)
        elif item.kind == "quarantined":
            _erase(self._quarantine / item.name)

    def _move_aside(self, path: Path) -> None:
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        kept = Path(private_directory(str(self._quarantine)))
        os.rename(path, kept / f"{path.name}-{datetime.now(timezone.utc).strftime(_STAMP)}")

    def _unmount(self, name: str) -> None:
        for point in self._points(name):
            unmount(point)

    def _points(self, name: str) -> list[str]:
        # The kernel names mounts by their real paths.
        return list(mounts_below(os.path.join(os.path.realpath(self._bundles), name).rstrip("/")))


def _erase(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(os.lstat(path).st_mtime, timezone.utc)
