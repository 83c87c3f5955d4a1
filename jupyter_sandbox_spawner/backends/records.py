"""What does the launcher still know after it was killed? One record a sandbox, on disk before each step.

Law: a step that can crash is announced in the record before it is taken; recovery sees what may be half done.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ..errors import BackendError, ConfigurationError
from ..models import Doors, SandboxSpec, Status, StatusValue
from ..names import is_sandbox_id
from ..wire import decode_json, encode_json

__all__ = ["Phase", "Record", "Records", "without_ticket", "writing_below"]

Phase = Literal["created", "starting", "running", "stopping", "over"]
_FULL = (errno.ENOSPC, errno.EDQUOT)
_VALUES: Mapping[Phase, StatusValue] = {
    "created": "pending",
    "starting": "pending",
    "running": "running",
    "stopping": "stopping",
    "over": "stopped",
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One sandbox. `start_time` (clock ticks since boot) tells `pid` from a later process of that number;
    `container` is Docker's id of it, by which the kernel's part is found where Docker has forgotten it, or
    the pod's uid; `address` is the pod's."""

    spec: SandboxSpec
    doors: Doors
    overlay: Mapping[str, Any] = field(default_factory=dict)
    phase: Phase = "created"
    pid: int | None = None
    start_time: int | None = None
    started_at: datetime | None = None
    exit_code: int | None = None
    failed: bool = False
    reason: str = ""
    container: str = ""
    address: str = ""

    @property
    def status(self) -> Status:
        """The record as the contract's status."""
        value = "failed" if self.failed else _VALUES[self.phase]
        return Status(
            value=value,
            exit_code=self.exit_code,
            reason=self.reason,
            started_at=self.started_at,
            address=self.address,
        )


def without_ticket(record: Record) -> Record:
    """The record as others may read it."""
    return replace(record, doors=replace(record.doors, ticket=""))


@contextmanager
def writing_below(directory: str | Path) -> Iterator[None]:
    """A full disk is told as such. Raises BackendError `launcher.disk_full`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise BackendError(
            f"The disk of {directory} is full, so that no server can be started.",
            code="launcher.disk_full",
            remedy=f"Make room, then try again: df -h {directory}",
            status=503,
        ) from error


class Records:
    """A directory with one sub-directory (the bundle) a sandbox."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def directory(self) -> Path:
        """Where all bundles are."""
        return self._directory

    def writing(self) -> AbstractContextManager[None]:
        """As `writing_below`, for what lies here."""
        return writing_below(self._directory)

    def bundle(self, sandbox_id: str) -> Path:
        """The sandbox's own directory; an id that is not ours never becomes a path."""
        if not is_sandbox_id(sandbox_id):
            raise ConfigurationError(f"{sandbox_id!r} is not a sandbox's id.", code="sandbox.id_invalid")
        return self._directory / sandbox_id

    def add(self, record: Record, config: str) -> None:
        """A new sandbox: its bundle with config.json; the record last, since what has none is swept up."""
        bundle = self.bundle(record.spec.id)
        try:
            with self.writing():
                bundle.mkdir(mode=0o700, exist_ok=True)
                (bundle / "config.json").write_text(config)
            self.write(record)
        except BackendError:
            shutil.rmtree(bundle, ignore_errors=True)
            raise

    def write(self, record: Record) -> None:
        """Replace the record in one step. Not fsynced: it dies with the machine, as its sandbox does.

        Raises BackendError `launcher.disk_full`; the record is then what it was.
        """
        bundle = self.bundle(record.spec.id)
        temporary = bundle / "record.new"
        with self.writing():
            # Deleted by hand: what is known of a sandbox that runs must lead to its end all the same.
            bundle.mkdir(mode=0o700, exist_ok=True)
            temporary.write_bytes(encode_json(record))
            os.replace(temporary, bundle / "record.json")

    def read_all(self) -> dict[str, Record | None]:
        """Every sandbox on disk; None where creating it did not get as far as a record."""
        found: dict[str, Record | None] = {}
        for bundle in sorted(self._directory.iterdir()):
            if is_sandbox_id(bundle.name):
                file = bundle / "record.json"
                found[bundle.name] = decode_json(Record, file.read_bytes()) if file.exists() else None
        return found
