"""Which calls of the kernel has Python no function for? Mounts, child subreaper, who a process is."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "become_subreaper",
    "mount_tmpfs",
    "mounts_below",
    "own_mounts",
    "start_time",
    "unmount",
]

_LIBC = ctypes.CDLL(None, use_errno=True)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Sandboxes whose runtime has exited become our children, so their exit status reaches us."""
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def mount_tmpfs(path: str, size: int, inodes: int = 8, mode: int = 0o700, name: str = "tmpfs") -> None:
    """A tmpfs of `size` bytes and a handful of inodes at an existing directory; `name` is its source."""
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    options = f"size={size},nr_inodes={inodes},mode={mode:o}".encode()
    if _LIBC.mount(name.encode(), os.fsencode(path), b"tmpfs", flags, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def unmount(path: str) -> None:
    """Detach the mount at `path`."""
    if _LIBC.umount2(os.fsencode(path), _MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def mounts_below(directory: str) -> Sequence[str]:
    """Mount points at or below a directory, innermost first; our paths hold no character that is escaped."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return sorted((p for p in points if p == directory or p.startswith(directory + "/")), reverse=True)


def own_mounts(name: str) -> Sequence[str]:
    """Where our mount namespace has a tmpfs of this source name."""
    lines = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [words[4] for words in lines if words[words.index("-") + 1 :][:2] == ["tmpfs", name]]


def start_time(pid: int) -> int | None:
    """When this process started, in clock ticks since boot; None if it is gone or a zombie.

    A pid is used again, a pid with its start time is not.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])
