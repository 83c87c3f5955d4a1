"""Can the run and state directories be used, by this run alone, and is the run directory erased after it?

Law: nothing is deleted below a mount, and nothing outside the run directory.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ConfigurationError, SandboxError
from ..serving import private_directory
from ..settings import Site

__all__ = [
    "LEAST_FREE",
    "erase_run_directory",
    "lasting_token",
    "locked",
    "prepare_directories",
    "write_private",
]

LEAST_FREE = 64 << 20  # bytes; less than this and databases and logs fail in ways hard to understand


def prepare_directories(site: Site) -> None:
    """Make both directories, 0700 and ours, with space left. Raises ConfigurationError (`site.*`)."""
    for field, path in (("run_dir", site.run_dir), ("state_dir", site.state_dir)):
        try:
            private_directory(path)
            free = shutil.disk_usage(path).free
        except OSError as error:
            raise ConfigurationError(
                f"{field}: {path} cannot be used: {error.strerror}.",
                code="site.directory_unusable",
                field=field,
                remedy=f"Choose another one, or make it: install -d -m 700 {path}",
            ) from error
        if free < LEAST_FREE:
            raise ConfigurationError(
                f"{field}: the disk of {path} has {free >> 20} MiB left; {LEAST_FREE >> 20} MiB are needed.",
                code="site.disk_full",
                field=field,
                remedy=f"Make space, or choose another disk: df -h {path}",
            )


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Hold the run directory; a second run on it is refused with the first one's pid (`site.running`)."""
    path = Path(site.run_dir, "run.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise ConfigurationError(
                f"Another run (pid {holder}) uses {site.run_dir}.",
                code="site.running",
                field="run_dir",
                remedy=f"Stop it with: kill {holder}; or give this one another run_dir.",
            ) from error
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        try:
            yield
        except BaseException:
            # Nothing was started: a directory made for this run goes again, one with contents stays.
            path.unlink()
            with suppress(OSError):
                path.parent.rmdir()
            raise
    finally:
        os.close(descriptor)


def lasting_token(path: Path) -> str:
    """The token in a file that only its owner may read (0400); made on first use."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(32))
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read (0600), in one step."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    os.replace(temporary, path)


def erase_run_directory(site: Site) -> None:
    """Remove the run directory. Raises SandboxError `site.left_over` where a mount below it remains."""
    top = os.path.realpath(site.run_dir)
    mounts = [point for point in _mount_points() if point.startswith(top + "/")]
    if mounts:
        raise SandboxError(
            f"{len(mounts)} mounts are left below {top}, so it was not erased: {mounts[0]}.",
            code="site.left_over",
            remedy=f"End what uses it, then: umount {mounts[0]}",
        )
    try:
        shutil.rmtree(top)
    except OSError as error:
        raise SandboxError(
            f"{top} could not be erased: {error}.", code="site.left_over", remedy=f"See: ls -laR {top}"
        ) from error


def _mount_points() -> list[str]:
    """Where file systems are mounted (5th field of proc(5) mountinfo, octal escapes undone)."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    raw = [line.split(b" ")[4] for line in lines]
    return [os.fsdecode(point.decode("unicode_escape").encode("latin-1")) for point in raw]
