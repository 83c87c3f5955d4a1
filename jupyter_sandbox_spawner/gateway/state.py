"""What does a restarted gateway still know? One small file a sandbox, no token in it.

Law: a file is written before the doors it describes are used and removed after they are closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from ..models import GatewayEntry
from ..names import is_sandbox_id
from ..private_files import write_private
from ..serving import private_directory
from ..wire import decode_json, encode_json

__all__ = ["Record", "StateDirectory"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One sandbox on disk. `booted`: its document was handed over; `ready`: its server was seen."""

    entry: GatewayEntry
    booted: bool = False
    ready: bool = False


class StateDirectory:
    """The records of all open sandboxes (0600 files in a 0700 directory)."""

    def __init__(self, path: str) -> None:
        self._path = Path(private_directory(path))
        # One thread: writes of a record happen in the order in which they were asked for.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="gateway-state")

    async def save(self, sandbox: str, record: Record) -> None:
        """Write a record in one step; it survives a crash when this returns."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, sandbox, record)

    async def remove(self, sandbox: str) -> None:
        """Forget a record; no-op without one."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._erase, sandbox)

    def close(self) -> None:
        """Finish what is being written."""
        self._writer.shutdown()

    def _write(self, sandbox: str, record: Record) -> None:
        write_private(self._file(sandbox), encode_json(record))

    def _erase(self, sandbox: str) -> None:
        self._file(sandbox).unlink(missing_ok=True)
        self._file(sandbox).with_suffix(".new").unlink(missing_ok=True)

    def ids(self) -> Mapping[str, float]:
        """The sandboxes that have a file here, also a half-written one; when it was written (epoch)."""
        found: dict[str, float] = {}
        for path in self._path.iterdir():
            if path.suffix in (".json", ".new") and is_sandbox_id(path.stem):
                with suppress(FileNotFoundError):  # one that has just been renamed or taken away
                    found[path.stem] = path.lstat().st_mtime
        return found

    def load(self) -> dict[str, Record]:
        """Every readable record by sandbox id; a damaged one is named in the log and left where it is."""
        found: dict[str, Record] = {}
        for path in sorted(self._path.glob("*.json")):
            try:
                if not is_sandbox_id(path.stem):
                    raise ConfigurationError(f"{path.stem!r} is not a sandbox id.", code="gateway.bad_record")
                found[path.stem] = decode_json(Record, path.read_bytes())
            except (ConfigurationError, OSError) as error:
                log.error(
                    "%s is damaged and its doors stay closed: %s Stop the server and start it again.",
                    path,
                    error,
                )
        return found

    def _file(self, sandbox: str) -> Path:
        return self._path / f"{sandbox}.json"
