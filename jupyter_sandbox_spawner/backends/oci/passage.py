"""How does a file server that is not root get to what it shows, where only root may pass? Run as a program.

`passage.py PATH... -- COMMAND...` runs in a mount namespace of its own: over each directory that others may
not pass lies an empty one that they may, and in it nothing but the PATHs. So a file server with a uid of its
own walks to them, and whoever takes it over finds no other user's home beside them.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Sequence

__all__ = ["barriers", "main"]

_LIBC = ctypes.CDLL(None, use_errno=True)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC = 2, 4, 8, 4096, 16384
_ANYBODY_PASSES = 0o711


def barriers(paths: Sequence[str]) -> list[str]:
    """The uppermost directories above `paths` that others may not pass."""
    found = (_barrier(path) for path in paths)
    return sorted({path for path in found if path})


def _barrier(path: str) -> str:
    above = ""
    for part in path.strip("/").split("/")[:-1]:
        above += f"/{part}"
        if not os.stat(above).st_mode & stat.S_IXOTH:
            return above
    return ""


def main(arguments: Sequence[str]) -> None:
    """Make the passage and become the command."""
    border = arguments.index("--")
    paths, command = sorted(set(arguments[:border])), list(arguments[border + 1 :])
    closed = barriers(paths)
    # Held open: once it is covered, a path leads to it no longer.
    held = {path: os.open(path, os.O_PATH) for path in paths if _barrier(path)}
    for directory in closed:
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _mount("tmpfs", directory, "tmpfs", flags, f"mode={_ANYBODY_PASSES:o},size=1m,nr_inodes=4096")
    os.umask(0o777 & ~_ANYBODY_PASSES)
    for path, descriptor in held.items():
        if not os.path.lexists(path):
            _make_point(path, os.fstat(descriptor).st_mode)
        _mount(f"/proc/self/fd/{descriptor}", path, "", _MS_BIND | _MS_REC, "")
        os.close(descriptor)
    os.execv(command[0], command)  # noqa: S606 - without a shell


def _make_point(path: str, mode: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if stat.S_ISDIR(mode):
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    words = [text.encode() for text in (source, target, kind)]
    if _LIBC.mount(*words, ctypes.c_ulong(flags), options.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


if __name__ == "__main__":
    main(sys.argv[1:])
