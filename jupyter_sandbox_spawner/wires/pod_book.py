"""What do the gateway's wires still know of pods after a restart? One small file a pod, digests only.

Law: what lets a pod in is on disk before anybody is told; what keeps one out counts at once, and is on disk
when the call returns. Of a pod that is forgotten an empty file stays, until `lift`: its id is used up.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import BackendError, ConfigurationError
from ..names import is_sandbox_id
from ..private_files import sync_directory, write_private
from ..rules.wires import PodRecord
from ..serving import private_directory
from ..wire import decode_json, encode_json

__all__ = ["PodBook"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_KNOWN, _GONE = ".json", ".gone"


class PodBook:
    """The records of all pods (0600 files in a 0700 directory): get, save, shut, drop, erase, lift, close.

    What cannot be written raises BackendError `wires.disk_full`.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(private_directory(path))
        # One thread: writes of a record happen in the order in which they were asked for.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="wires-pods")
        self._gone = {item.stem for item in self._path.glob("*" + _GONE) if is_sandbox_id(item.stem)}
        self._records = dict(self._load())

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._records))

    def __len__(self) -> int:
        return len(self._records)

    @property
    def gone(self) -> frozenset[str]:
        """Those that were forgotten, and whose ids are used up."""
        return frozenset(self._gone)

    def get(self, sandbox: str) -> PodRecord | None:
        """The record of a sandbox's pod."""
        return self._records.get(sandbox)

    async def save(self, sandbox: str, record: PodRecord) -> None:
        """Write a record in one step; it survives a crash when this returns, and counts only then.

        ConnectionAbortedError where it was forgotten meanwhile.
        """
        self._check_not_gone(sandbox)
        await self._write(write_private, self._path / f"{sandbox}{_KNOWN}", encode_json(record))
        self._check_not_gone(sandbox)
        self._records[sandbox] = record

    def shut(self, sandbox: str, record: PodRecord) -> None:
        """This record counts at once, as it lets nobody in; `save` is still to follow."""
        self._records[sandbox] = record

    def drop(self, sandbox: str) -> None:
        """Forget a pod in memory; `erase` is still to follow. No-op where it is not known."""
        if self._records.pop(sandbox, None) is not None:
            self._gone.add(sandbox)

    async def erase(self, sandbox: str) -> None:
        """Forget on disk what was dropped; also where that failed before."""
        await self._write(self._forget, sandbox, sandbox in self._gone)

    async def lift(self, sandbox: str) -> None:
        """The id of a forgotten pod may go from memory and disk: nothing of its sandbox is there any more."""
        await self._write(self._erase, f"{sandbox}{_GONE}")
        self._gone.discard(sandbox)

    def close(self) -> None:
        """Finish what is being written."""
        self._writer.shutdown()

    def _check_not_gone(self, sandbox: str) -> None:
        if sandbox in self._gone:
            raise ConnectionAbortedError("the pod was forgotten meanwhile")

    def _load(self) -> Iterator[tuple[str, PodRecord]]:
        for path in sorted(self._path.glob("*" + _KNOWN)):
            try:
                if is_sandbox_id(path.stem) and path.stem not in self._gone:
                    yield path.stem, decode_json(PodRecord, path.read_bytes())
            except (ConfigurationError, OSError) as error:
                log.error("%s is damaged, and its pod gets nowhere: %s Start the server again.", path, error)

    async def _write(self, step: Callable[..., None], *arguments: Any) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, step, *arguments)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise BackendError(
                f"The disk of {self._path} takes nothing ({error.strerror}), so that no pod can come or go.",
                code="wires.disk_full",
                remedy=f"Make room on the gateway's volume, then try again: df -h {self._path}",
                status=503,
            ) from error

    def _forget(self, sandbox: str, keep: bool) -> None:
        try:
            if keep:
                write_private(self._path / f"{sandbox}{_GONE}", b"")
        finally:  # a full disk still lets a file go
            self._erase(f"{sandbox}{_KNOWN}")

    def _erase(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)
        sync_directory(self._path)
