"""Can the run and state directories be used, by this run alone, each part by its program alone?

Law: nothing is deleted below a mount, and nothing outside the run directory.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ConfigurationError, SandboxError
from ..serving import private_directory
from ..settings import Site
from .accounts import Account

__all__ = [
    "LEAST_FREE",
    "erase_run_directory",
    "give_directories",
    "lasting_token",
    "locked",
    "own_directories",
    "prepare_directories",
    "write_private",
]

LEAST_FREE = 64 << 20  # bytes; less than this and databases and logs fail in ways hard to understand


def prepare_directories(site: Site) -> None:
    """Make both directories, ours, with space left. Raises ConfigurationError (`site.*`).

    0700, or 0711 where other uids pass through to directories of their own (see `give_directories`).
    """
    for field, path in (("run_dir", site.run_dir), ("state_dir", site.state_dir)):
        try:
            private_directory(path, site.shared_mode)
            free = shutil.disk_usage(path).free
        except OSError as error:
            raise ConfigurationError(
                f"{field}: {path} cannot be used: {error.strerror}.",
                code="site.directory_unusable",
                field=field,
                remedy=f"Choose another one, or make it: install -d -m {site.shared_mode:o} {path}",
            ) from error
        if free < LEAST_FREE:
            raise ConfigurationError(
                f"{field}: the disk of {path} has {free >> 20} MiB left; {LEAST_FREE >> 20} MiB are needed.",
                code="site.disk_full",
                field=field,
                remedy=f"Make space, or choose another disk: df -h {path}",
            )


def give_directories(site: Site, accounts: Mapping[str, Account]) -> None:
    """Make each program's own directories, owned by its account. Raises `site.directory_foreign`."""
    for path, name, mode in own_directories(site):
        account = accounts.get(name) or Account(uid=os.geteuid(), gid=os.getegid())
        try:
            os.mkdir(path, 0o700)
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
        except FileExistsError:
            _refuse_other_owner(path, name, account)
        os.chmod(path, mode)


def own_directories(site: Site) -> tuple[tuple[str, str, int], ...]:
    """Path, program and mode of every directory that one program alone writes to."""
    return (
        (f"{site.run_dir}/gateway", "gateway", 0o700),
        (site.doors_dir, "gateway", 0o700),
        # Passed through to sockets whose own modes let in one program each.
        (f"{site.run_dir}/control", "control", site.shared_mode),
        (f"{site.run_dir}/broker", "broker", site.shared_mode),
        (f"{site.state_dir}/gateway", "gateway", 0o700),
        (site.hub_dir, "hub", 0o700),
        (f"{site.state_dir}/control", "control", 0o700),
        (f"{site.state_dir}/audit", "control", 0o700),
        (site.broker_dir, "broker", 0o700),
        (f"{site.state_dir}/logs", "supervisor", 0o700),
        *(((site.tracking_dir, "tracking", 0o700),) if site.tracking else ()),
    )


def _refuse_other_owner(path: str, name: str, account: Account) -> None:
    """Files of another uid inside would stay another's: the admin decides whose they are."""
    status = os.lstat(path)
    if not os.path.islink(path) and status.st_uid == account.uid:
        return
    raise ConfigurationError(
        f"{path} belongs to uid {status.st_uid}, and {name} runs under {account.uid}.",
        code="site.directory_foreign",
        field=name,
        remedy=f"If its files are the program's: chown -hR {account.uid}:{account.gid} {path}",
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
            for directory in (*(item for item in path.parent.iterdir() if item.is_dir()), path.parent):
                with suppress(OSError):
                    directory.rmdir()
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


def write_private(path: Path, text: str, owner: Account | None = None) -> None:
    """Write a file that only its owner (None: we) may read (0600), in one step."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        if owner is not None:
            os.fchown(descriptor, owner.uid, owner.gid)
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
