"""What do the gateway's wires still know of pods after a restart? One small file a pod, digests only.

Law: a record is on disk before what follows from it is said to anybody.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import ConfigurationError
from ..names import is_sandbox_id
from ..rules.wires import PodRecord
from ..serving import private_directory
from ..wire import decode_json, encode_json

__all__ = ["PodBook"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")


class PodBook:
    """The records of all pods (0600 files in a 0700 directory): verbs get, save, remove, close."""

    def __init__(self, path: str) -> None:
        self._path = Path(private_directory(path))
        # One thread: writes of a record happen in the order in which they were asked for.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="wires-pods")
        self._records = dict(self._load())

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._records))

    def __len__(self) -> int:
        return len(self._records)

    def get(self, sandbox: str) -> PodRecord | None:
        """The record of a sandbox's pod."""
        return self._records.get(sandbox)

    async def save(self, sandbox: str, record: PodRecord) -> None:
        """Write a record in one step; it survives a crash when this returns, and counts only then."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, sandbox, record)
        self._records[sandbox] = record

    async def remove(self, sandbox: str) -> None:
        """Forget a pod, at once and on disk; no-op where it is not known."""
        if self._records.pop(sandbox, None) is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._erase, sandbox)

    def close(self) -> None:
        """Finish what is being written."""
        self._writer.shutdown()

    def _load(self) -> Iterator[tuple[str, PodRecord]]:
        for path in sorted(self._path.glob("*.json")):
            try:
                if is_sandbox_id(path.stem):
                    yield path.stem, decode_json(PodRecord, path.read_bytes())
            except (ConfigurationError, OSError) as error:
                log.error("%s is damaged, and its pod gets nowhere: %s Start the server again.", path, error)

    def _write(self, sandbox: str, record: PodRecord) -> None:
        target = self._path / f"{sandbox}.json"
        temporary = target.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(encode_json(record))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        self._sync_directory()

    def _erase(self, sandbox: str) -> None:
        (self._path / f"{sandbox}.json").unlink(missing_ok=True)
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
