"""What does the link put where? The files that run inside, and its key; each whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["copy_inside", "has_bought", "kept_key", "note_bought", "tell_ready", "ticket_of"]

_SOURCE = Path(__file__).resolve().parents[2] / "singleuser" / "inside"


def copy_inside(target: str, source: Path = _SOURCE) -> int:
    """Copy what runs inside to `target`; returns how many files were new or others.

    A link that is started again finds them in use: a file that is the same is left alone.
    """
    written = 0
    for directory, below, names in os.walk(source):
        below[:] = [name for name in below if name != "__pycache__"]
        place = Path(target, os.path.relpath(directory, source))
        place.mkdir(parents=True, exist_ok=True)
        if str(place) != str(Path(target)):  # the volume's own root may belong to somebody else
            place.chmod(0o755)
        for name in names:
            raw = Path(directory, name).read_bytes()
            mode = 0o755 if os.access(Path(directory, name), os.X_OK) else 0o644
            written += _put(place / name, raw, mode)
    return written


def _put(path: Path, raw: bytes, mode: int) -> bool:
    if path.is_file() and path.read_bytes() == raw:
        return False
    _write_whole(path, raw, mode)
    return True


def _write_whole(path: Path, raw: bytes, mode: int) -> None:
    """Write a file in one step, with its mode from the first byte on."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(raw)
    os.replace(temporary, path)


def kept_key(memory: str) -> str:
    """The key of this pod, made once and kept in memory that is the link's alone (0600)."""
    path = Path(memory, "key")
    if not path.exists():
        _write_whole(path, secrets.token_urlsafe(32).encode(), 0o600)
    return path.read_text()


def has_bought(memory: str) -> bool:
    """Has a link of this pod bought the key, so that a server may run behind it?"""
    return Path(memory, "bought").exists()


def note_bought(memory: str) -> None:
    """It has."""
    Path(memory, "bought").touch(0o600)


def tell_ready(memory: str) -> int:
    """Say that files and doors are there to whoever waits at the pipe, now or later.

    Its descriptor: what was said lies in the pipe for as long as somebody has it open.
    """
    path = os.path.join(memory, "ready")
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(BlockingIOError):  # it is full of it
        os.write(descriptor, b".")
    return descriptor


def ticket_of(secret: str) -> str:
    """The ticket that the launcher left."""
    return Path(secret, "ticket").read_text().strip()
