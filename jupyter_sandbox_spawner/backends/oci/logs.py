"""Where does a sandbox's output go, and what stops it from filling the host's disk? A small tmpfs of its own.

Law: the bound holds without us: the file lies on a file system of its own that is full at the cap, also while
the launcher is away; cutting only makes room for newer lines.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from .kernel import mount_tmpfs, mounts_below

__all__ = ["LOG_BYTES", "TAIL_BYTES", "cut_log", "log_size", "log_tail", "open_log"]

LOG_BYTES = 1 << 20
TAIL_BYTES = 64 << 10
_NOTICE = b"[older lines were cut by the launcher]\n"


def open_log(bundle: Path, host_uid: int) -> int:
    """A descriptor to append to; the sandbox's uid owns the file, since `> /dev/stderr` opens it again."""
    directory = bundle / "log"
    directory.mkdir(mode=0o700, exist_ok=True)
    if not mounts_below(str(directory)):
        mount_tmpfs(str(directory), LOG_BYTES)
    descriptor = os.open(directory / "output", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchown(descriptor, host_uid, host_uid)
    return descriptor


def log_size(bundle: Path) -> int:
    """Bytes of output now; 0 if there is none."""
    try:
        return os.stat(bundle / "log/output").st_size
    except FileNotFoundError:
        return 0


def log_tail(bundle: Path) -> str:
    """The last 64 KiB of output, whatever the bytes are."""
    try:
        with open(bundle / "log/output", "rb") as stream:
            stream.seek(max(0, log_size(bundle) - TAIL_BYTES))
            return stream.read(TAIL_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def cut_log(bundle: Path) -> None:
    """Keep the last 64 KiB of a log that is three quarters full."""
    if log_size(bundle) < LOG_BYTES * 3 // 4:
        return
    kept = log_tail(bundle).encode(errors="replace")[-TAIL_BYTES:]
    with contextlib.suppress(OSError), open(bundle / "log/output", "ab") as stream:
        stream.truncate(0)
        stream.write(_NOTICE + kept)  # full again already: a flood, whose lines nobody misses
