"""What of the use of sandboxes does a restarted gateway still know? One file, written every few seconds.

Law: losing it may cost the last seconds, never a refused door: what cannot be written or read is said in the
log, and counting goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from ..errors import ConfigurationError
from ..wire import decode_json, encode_json

__all__ = ["Memory", "Use"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")
_EVERY = 3.0  # seconds between two looks whether there is something new


@dataclass(frozen=True, kw_only=True)
class Use:
    """Of one sandbox since it was opened; `egress_today` are the egress bytes of `egress_day` (UTC),
    `front_today` the bytes that went to browsers on `front_day`.
    """

    last_activity: datetime | None = None
    egress_used_at: datetime | None = None
    egress_day: date | None = None
    egress_today: int = 0
    front_day: date | None = None
    front_today: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    denials: int = 0


@dataclass(frozen=True, kw_only=True)
class _File:
    sandboxes: Mapping[str, Use] = field(default_factory=dict)


class Memory:
    """The file. `now` gives the use of every open sandbox."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._written: Mapping[str, Use] = {}
        self._task: asyncio.Task[None] | None = None

    def load(self) -> Mapping[str, Use]:
        """What was written last; nothing where there is no file or it is damaged."""
        try:
            self._written = decode_json(_File, self._path.read_bytes()).sandboxes
        except FileNotFoundError:
            log.debug("%s is not there: the first start.", self._path)
        except (ConfigurationError, OSError) as error:
            log.error("%s cannot be read, counting starts at nothing: %s", self._path, error)
        return self._written

    def start(self, now: Callable[[], Mapping[str, Use]]) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._keep(now))

    async def close(self, now: Callable[[], Mapping[str, Use]]) -> None:
        """Write once more and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._save(now())

    async def _keep(self, now: Callable[[], Mapping[str, Use]]) -> None:
        while True:
            await asyncio.sleep(_EVERY)  # figures change with every byte: there is no event to wait for
            await self._save(now())

    async def _save(self, uses: Mapping[str, Use]) -> None:
        if uses == self._written:
            return
        try:
            await asyncio.to_thread(self._write, encode_json(_File(sandboxes=uses)))
        except OSError as error:
            log.error("The use of sandboxes is not on disk: %s", error.strerror)
        else:
            self._written = uses

    def _write(self, raw: bytes) -> None:
        # No fsync: it has to survive the gateway, not the machine that the sandboxes die with.
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
        os.replace(temporary, self._path)
