"""Are a dataset's files those that its manifest names, each with its bytes? Asked before it is mounted.

Law: a file that is changed, missing or not listed refuses the whole dataset, by its name. A file is read
again only when its size, times or inode have changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import RefusedError
from ..rules.catalogue import MANIFEST, Dataset

__all__ = ["Manifests", "verify"]

_PATIENCE = 20.0  # seconds a start waits; a large dataset is read on, and the next start finds it done
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_LARGEST_MANIFEST = 256 << 20
_CHUNK = 1 << 20

Stamp = tuple[int, int, int, int]
Seen = dict[str, tuple[Stamp, str]]  # by path: the stamp under which it had this digest


class Manifests:
    """Remembers what was read. Verb: verify, which does not block the loop."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._seen: Seen = {}
        self._patience = patience
        self._running: dict[str, asyncio.Task[None]] = {}

    async def verify(self, dataset: Dataset) -> None:
        """Raises RefusedError `dataset.poisoned`, `dataset.link`, `dataset.unreadable`, `dataset.missing`, or
        `dataset.verifying` while it still reads.
        """
        task = self._running.get(dataset.name)
        if task is None:
            work = asyncio.to_thread(verify, dataset, self._seen)
            task = self._running[dataset.name] = asyncio.create_task(work, name=f"verify {dataset.name}")
            task.add_done_callback(lambda done: self._ended(dataset.name, done))
        try:
            await asyncio.wait_for(asyncio.shield(task), self._patience)
        except asyncio.TimeoutError:
            raise RefusedError(
                f"The files of {dataset.name} are still being verified.",
                code="dataset.verifying",
                remedy="Start the server again in a few minutes; what was read need not be read again.",
                status=503,
            ) from None

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._running.pop(name, None)
        if not task.cancelled():
            task.exception()  # told to who waited; nobody may


def verify(dataset: Dataset, seen: Seen) -> None:
    """As Manifests.verify, on this thread. `seen` is looked into and added to."""
    root = Path(dataset.path)
    if os.path.realpath(root) != str(root) or not root.is_dir():
        why = f"{root} is no directory of this host, or a link leads there"
        raise _refuse(dataset, "missing", why, "Give the real path of a directory.")
    found = dict(_files(dataset, root))
    if not dataset.manifest:
        return
    listed = _listed(dataset, root, seen)
    for name in sorted(found.keys() - listed.keys()):
        raise _refuse(dataset, "poisoned", f"{name!r} is not in its manifest", _MEND)
    for name, digest in listed.items():
        if name not in found:
            raise _refuse(dataset, "poisoned", f"{name!r} is missing", _MEND)
        if _digest(root / name, found[name], seen) != digest:
            raise _refuse(dataset, "poisoned", f"{name!r} is not what its manifest says", _MEND)


_MEND = "Restore the file, or publish a new version with a manifest of its own."


def _files(dataset: Dataset, root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a directory but the manifest, by its name there."""
    pending = [root]
    while pending:
        directory = pending.pop()
        _check_readable(dataset, directory, os.lstat(directory), stat.S_IROTH | stat.S_IXOTH)
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            name = os.path.relpath(entry.path, root)
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if not f"{target}/".startswith(f"{root}/") or not os.path.exists(target):
                    raise _refuse(dataset, "link", f"{name!r} leads out of it", "Copy what it leads to.")
            elif entry.is_dir(follow_symlinks=False):
                pending.append(Path(entry.path))
            elif not stat.S_ISREG(status.st_mode):
                raise _refuse(dataset, "poisoned", f"{name!r} is no file", "Remove it.")
            elif name != MANIFEST:
                _check_readable(dataset, Path(entry.path), status, stat.S_IROTH)
                yield name, status


def _check_readable(dataset: Dataset, path: Path, status: os.stat_result, needed: int) -> None:
    if status.st_mode & needed != needed:
        raise _refuse(
            dataset,
            "unreadable",
            f"{path} is not readable for everyone, and inside a sandbox it would not be either",
            f"chmod -R o+rX {dataset.path} (keep others of this host out by the directory above it).",
        )


def _listed(dataset: Dataset, root: Path, seen: Seen) -> dict[str, str]:
    """The manifest's digests by file, if it is the one that the catalogue names."""
    path = root / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise _refuse(dataset, "poisoned", f"{MANIFEST!r} is missing", _MEND)
    raw = path.read_bytes() if path.stat().st_size <= _LARGEST_MANIFEST else b""
    if hashlib.sha256(raw).hexdigest() != dataset.manifest:
        raise _refuse(dataset, "poisoned", f"{MANIFEST!r} is not the one that the catalogue names", _MEND)
    listed = {}
    for line in raw.decode(errors="surrogateescape").split("\n"):
        match = _LINE.fullmatch(line)
        if match is None and line:
            raise _refuse(dataset, "poisoned", f"{MANIFEST!r} has the line {line[:80]!r}", _MEND)
        if match is not None:
            listed[match[2].removeprefix("./")] = match[1]
    return listed


def _digest(path: Path, status: os.stat_result, seen: Seen) -> str:
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    known = seen.get(str(path))
    if known is not None and known[0] == stamp:
        return known[1]
    total = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            total.update(chunk)
        after = os.fstat(descriptor)
    # What changes while it is read is read again the next time.
    if (after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == stamp:
        seen[str(path)] = (stamp, total.hexdigest())
    return total.hexdigest()


def _refuse(dataset: Dataset, code: str, what: str, remedy: str) -> RefusedError:
    message = f"The dataset {dataset.name} cannot be mounted: {what}."
    return RefusedError(message, code=f"dataset.{code}", field="mounts", remedy=remedy, status=409)
