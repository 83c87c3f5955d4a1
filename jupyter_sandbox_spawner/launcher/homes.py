"""How is a home held to its size, bytes and files? It is a file system of its own in a sparse file (ext4).

Law: nothing of a user's is removed or overwritten. A home that was there before moves in once, and its plain
copy stays in quarantine; a file system only grows. What cannot be held is refused, never left without limit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from ..errors import BackendError, IsolationError
from ..models import UserPlace
from ..ordinary import has_own_namespace
from ..serving import private_directory
from ..units import format_size
from .users import QUARANTINE, image_of

__all__ = ["TOOLS", "HomeImages"]

log = logging.getLogger("jupyter_sandbox_spawner.launcher")

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("mkfs.ext4", "mount", "umount", "e2fsck", "resize2fs")
_SMALLEST = 8 << 20  # bytes; with less ext4 has no room for a notebook
_MOVES_IN = 1 << 30  # bytes that a start may spend time on; a larger home is an admin's to move
_PATIENCE = 120.0  # seconds of one command
_OPTIONS = "loop,nosuid,nodev,noatime"
_TRY = ".try"


class HomeImages:
    """The images beside the homes; none of the verbs blocks the loop."""

    def __init__(self, homes: str) -> None:
        self._homes = Path(homes)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._starting: Counter[str] = Counter()
        self.missing: str | None = None  # not tried: most sites have no such profile

    async def verify(self) -> None:
        """Try it; `missing` then says why homes cannot be held to a size, empty where they can."""
        async with self._locks[_TRY]:
            self.missing = await asyncio.to_thread(self._try)

    @contextmanager
    def starting(self, home: str) -> Iterator[None]:
        """For the block the home is used, though the backend does not list the sandbox yet."""
        self._starting[home] += 1
        try:
            yield
        finally:
            self._starting[home] -= 1

    async def prepare(
        self,
        place: UserPlace,
        size: int | None,
        used: Callable[[], Awaitable[Collection[str]]] | None = None,
    ) -> None:
        """Have the home on a file system of at most `size` bytes, or as it is where the profile names none.

        It grows under whoever has it, so that nobody asks what is `used`.

        Raises IsolationError `home.no_quota`, `home.too_large`, `home.too_small`; BackendError `home.failed`.
        """
        async with self._locks[place.home]:
            image = image_of(self._homes, Path(place.home).name, place.host_uid)
            if size is None and not await asyncio.to_thread(image.exists):
                return
            if self.missing is None:
                await self.verify()
            await asyncio.to_thread(self._prepare, place, image, size)

    async def release(self, home: str, used: Callable[[], Awaitable[Collection[str]]] | None = None) -> None:
        """Unmount a home that no sandbox uses any more; no-op where it is none of ours, where a start has it
        and where it is among what `used` answers then."""
        async with self._locks[home]:
            # In this order: a start that is over by now is listed; one that begins now waits for the lock.
            if not self._starting[home] and (used is None or home not in await used()):
                await asyncio.to_thread(_unmount, home)

    async def release_all_but(self, homes: Collection[str]) -> None:
        """Unmount what an earlier launcher left mounted; `homes` have sandboxes."""
        mounted = await asyncio.to_thread(self._mounted_homes)
        for home in sorted(mounted - set(homes)):
            await self.release(home)

    async def mounted(self) -> frozenset[str]:
        """Homes that have their file system mounted now, without those that a start has."""
        found = await asyncio.to_thread(self._mounted_homes)
        return frozenset(home for home in found if not self._starting[home])

    def _mounted_homes(self) -> set[str]:
        return {str(home) for home in self._homes.iterdir() if home.is_mount()}

    def _try(self) -> str:
        if os.geteuid() != 0 or has_own_namespace():
            return "it takes root. Run the launcher as root, or leave disk: out of the profile."
        absent = [tool for tool in TOOLS if shutil.which(tool, path=_PATH) is None]
        if absent:
            return f"there is no {absent[0]}. Run: apt-get install e2fsprogs mount"
        image = image_of(self._homes, _TRY, 0)
        try:
            _make(image, 0, _SMALLEST)
            with _mounted(image):
                return ""
        except (BackendError, OSError) as error:
            return f"{error} Give the launcher loop devices (modprobe loop), or leave disk: out of profiles."
        finally:
            image.unlink(missing_ok=True)

    def _prepare(self, place: UserPlace, image: Path, size: int | None) -> None:
        if self.missing:
            raise _refuse("no_quota", f"This host cannot hold a home to a size: {self.missing}")
        if size is not None and size < _SMALLEST:
            raise _refuse("too_small", f"A file system of {format_size(size)} has no room for a home.")
        if not image.exists():
            self._move_in(place, image, size or 0)
        _mount(place, image, size or 0)

    def _move_in(self, place: UserPlace, image: Path, size: int) -> None:
        home, fresh = Path(place.home), image.with_name(f".new-{image.name}")
        used, most = _used(home), min(_MOVES_IN, size // 2)
        if used > most:
            raise IsolationError(
                f"The home of {place.user!r} holds {format_size(used)} from before it had a quota;"
                f" a start moves at most {format_size(most)} by itself.",
                code="home.too_large",
                field="disk",
                remedy="Take another profile; an admin moves it: docs/how-to/limit-homes.md.",
            )
        _make(fresh, place.host_uid, size)
        if used:
            with _mounted(fresh) as point:
                _run("cp", "-a", "--sparse=auto", f"{home}/.", str(point))
        # The image appears first, so that a crash in between shows no empty home.
        os.rename(fresh, image)
        if used:
            quarantine = Path(private_directory(str(self._homes / QUARANTINE)))
            kept = f"{home.name}-before-quota-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
            os.rename(home, quarantine / kept)
            log.info("The home of %s moved into %s; its plain copy is %s.", place.user, image, kept)


def _make(image: Path, uid: int, size: int) -> None:
    private_directory(str(image.parent))
    image.unlink(missing_ok=True)
    descriptor = os.open(image, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)
    # No blocks for root: they would be missing at the end of a quota. Inodes follow from the size.
    _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", f"root_owner={uid}:{uid}", str(image))


@contextmanager
def _mounted(image: Path) -> Iterator[Path]:
    """The image's file system at a place of its own, for the block."""
    point = image.with_name(f".at-{image.name}")
    point.mkdir(exist_ok=True)
    try:
        _run("mount", "-o", _OPTIONS, str(image), str(point))
        try:
            yield point
        finally:
            _run("umount", str(point))
    finally:
        with suppress(OSError):  # still mounted: umount has said so
            point.rmdir()


def _mount(place: UserPlace, image: Path, size: int) -> None:
    home = Path(place.home)
    if os.path.ismount(home):
        return  # as another sandbox has it; it grows when nobody does
    if not home.exists():  # its plain directory was moved away
        home.mkdir(mode=0o700)
        os.chown(home, place.host_uid, place.host_uid)
    grows = image.stat().st_size < size
    if grows:
        os.truncate(image, size)
    # The machine may have gone down meanwhile; what e2fsck mends by itself ends with 0 or 1.
    _run("e2fsck", "-p", *(["-f"] if grows else []), str(image), good=(0, 1))
    if grows:
        _run("resize2fs", str(image))
    _run("mount", "-o", _OPTIONS, str(image), str(home))
    os.chmod(home, 0o700)


def _unmount(home: str) -> None:
    if not os.path.ismount(home):
        return
    try:
        _run("umount", home)
    except BackendError as error:
        # Somebody of the host looks into it; the next sandbox takes it as it is.
        log.warning("%s stays mounted: %s", home, error)


def _used(home: Path) -> int:
    """Bytes on disk below a directory."""
    total = 0
    for top, directories, files in os.walk(home):
        for name in (*directories, *files):
            total += os.lstat(os.path.join(top, name)).st_blocks * 512
    return total


def _refuse(code: str, message: str) -> IsolationError:
    remedy = "Ask your admin, or take another profile."
    return IsolationError(message, code=f"home.{code}", field="disk", remedy=remedy)


def _run(*command: str, good: tuple[int, ...] = (0,)) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
            env={"PATH": _PATH, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"{command[0]} took over {_PATIENCE:g} s.", code="home.failed") from error
    if done.returncode not in good:
        reason = " ".join(done.stderr.split())[:300]
        raise BackendError(
            f"{command[0]}: {reason or done.returncode}",
            code="home.failed",
            remedy="See the launcher's log, and: df -h; losetup -a",
        )
    return done.stdout
