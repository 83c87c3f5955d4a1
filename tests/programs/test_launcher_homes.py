"""Is a home held to its bytes and files, kept from before, moved with its user? Real loop devices."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.launcher import homes as module
from jupyter_sandbox_spawner.launcher.homes import HomeImages
from jupyter_sandbox_spawner.launcher.users import UserRegistry
from jupyter_sandbox_spawner.models import UserPlace

pytestmark = pytest.mark.lane("root", "loop")
Control = Callable[[str, bool], None]
SIZE = 32 << 20
BASE = 3_300_000


class Homes:
    """A registry and the images beside its homes, below a directory of the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "homes"
        self.users = UserRegistry(str(self.directory), BASE, 100)
        self.images = HomeImages(str(self.directory))

    def home(self, user: str, size: int | None = SIZE) -> UserPlace:
        """The user's home, ready for a sandbox."""
        place = self.users.place(user)
        asyncio.run(self.images.prepare(place, size))
        return place

    def release(self, place: UserPlace) -> None:
        """No sandbox has it any more."""
        asyncio.run(self.images.release(place.home))

    def image(self, place: UserPlace) -> Path:
        """Its file."""
        return self.directory / ".images" / f"{Path(place.home).name}-{place.host_uid}.img"


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    """Whatever a test leaves mounted is unmounted."""
    made = Homes(tmp_path)
    asyncio.run(made.images.verify())
    assert made.images.missing == ""
    yield made
    asyncio.run(made.images.release_all_but([]))
    assert [line for line in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in line] == []


def fill(home: str, uid: int, code: str) -> str:
    """A program of the user in the home; what it prints."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-c"]
    done = subprocess.run([*command, code], cwd=home, capture_output=True, text=True, check=True)
    return done.stdout.strip()


BYTES = """
import os
size = 0
try:
    with open("large", "wb", buffering=0) as stream:
        while size < 1 << 30:
            size += stream.write(b"x" * 65536)
except OSError as error:
    print(size, error.errno)
os.unlink("large")
"""
FILES = """
count = 0
try:
    while count < 1_000_000:
        open(f"file-{count}", "w").close()
        count += 1
except OSError as error:
    print(count, error.errno)
"""


@pytest.mark.proves("Q03", "Q04")
def test_a_home_ends_at_its_size(homes: Homes, control: Control) -> None:
    """Bytes and files stop at the quota with ENOSPC; the host's disk has lost no more than that."""
    place = homes.home("alice")
    before = shutil.disk_usage(homes.directory).free
    size, number = map(int, fill(place.home, place.host_uid, BYTES).split())
    control("most of it can be used", size > SIZE * 0.7)
    assert (number, size < SIZE) == (errno.ENOSPC, True)
    count, number = map(int, fill(place.home, place.host_uid, FILES).split())
    control("many files can be made", count > 1000)
    assert (number, count < 100_000) == (errno.ENOSPC, True)
    assert before - shutil.disk_usage(homes.directory).free < SIZE + (16 << 20)


def test_a_home_is_private_and_its_users(homes: Homes) -> None:
    """The file system's root is the user's, 0700, without set-uid programs and devices."""
    place = homes.home("alice")
    status = os.stat(place.home)
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (place.host_uid, place.host_uid, 0o700)
    (line,) = [line for line in Path("/proc/mounts").read_text().splitlines() if place.home in line]
    assert {"nosuid", "nodev"} <= set(line.split()[3].split(","))
    assert homes.image(place).stat().st_mode & 0o777 == 0o600


def test_work_outlives_the_sandbox_and_the_launcher(homes: Homes) -> None:
    """Unmounted and mounted again, also by another launcher, the files are there."""
    place = homes.home("alice")
    Path(place.home, "work").write_text("hours")
    homes.release(place)
    assert not Path(place.home, "work").exists()
    other = HomeImages(str(homes.directory))
    asyncio.run(other.verify())
    asyncio.run(other.prepare(homes.users.place("alice"), SIZE))
    assert Path(place.home, "work").read_text() == "hours"


def test_a_second_sandbox_takes_it_as_it_is(homes: Homes) -> None:
    """A home that is mounted stays mounted; without a size in the profile too, once it has one."""
    place = homes.home("alice")
    Path(place.home, "work").write_text("hours")
    for size in (SIZE, SIZE // 2, None):
        homes.home("alice", size)
        assert Path(place.home, "work").read_text() == "hours"
    homes.release(place)
    homes.home("alice", None)
    assert Path(place.home, "work").read_text() == "hours"


def test_a_home_that_a_start_has_stays_mounted(homes: Homes, control: Control) -> None:
    """Between its mount and the backend's list nobody takes it away; nor where the list is longer by then."""
    place = homes.home("alice")

    async def listed() -> list[str]:
        return [place.home]

    with homes.images.starting(place.home):
        assert asyncio.run(homes.images.mounted()) == frozenset()
        homes.release(place)
    asyncio.run(homes.images.release(place.home, listed))
    assert os.path.ismount(place.home)
    homes.release(place)
    control("else it is taken away", not os.path.ismount(place.home))


def test_a_larger_quota_is_given_once_nobody_uses_the_home(homes: Homes) -> None:
    """The file system grows with its files in it at the next first start; it never shrinks."""
    place = homes.home("alice")
    Path(place.home, "work").write_text("hours")
    sizes = [shutil.disk_usage(homes.home("alice", 2 * SIZE).home).total]
    for size in (2 * SIZE, SIZE):
        homes.release(place)
        sizes.append(shutil.disk_usage(homes.home("alice", size).home).total)
    assert sizes[0] < SIZE < SIZE * 1.5 < sizes[1] == sizes[2]
    assert Path(place.home, "work").read_text() == "hours"


def test_files_from_before_move_in(homes: Homes) -> None:
    """A home without a quota gets one with everything in it; the plain copy stays in quarantine."""
    place = homes.home("alice", None)
    assert not os.path.ismount(place.home)
    work = Path(place.home, "deep/work")
    work.parent.mkdir()
    work.write_text("hours")
    os.chown(work, place.host_uid, place.host_uid)
    homes.home("alice")
    assert os.path.ismount(place.home)
    assert (work.read_text(), work.stat().st_uid) == ("hours", place.host_uid)
    (kept,) = (homes.directory / ".quarantine").iterdir()
    assert (kept / "deep/work").read_text() == "hours"


def test_a_home_that_is_too_large_to_move_is_left_alone(homes: Homes) -> None:
    """The start is refused with what an admin does, and the files are where they were."""
    place = homes.home("alice", None)
    Path(place.home, "large").write_bytes(b"x" * (SIZE // 2 + (1 << 20)))
    with pytest.raises(IsolationError, match="an admin moves it") as refused:
        homes.home("alice")
    assert refused.value.code == "home.too_large"
    assert Path(place.home, "large").stat().st_size > SIZE // 2
    assert not os.path.ismount(place.home)


def test_a_deleted_users_files_are_nobody_elses(homes: Homes) -> None:
    """The image goes into quarantine with the home; a new user of the name starts with an empty one."""
    place = homes.home("alice")
    Path(place.home, "work").write_text("hours")
    homes.release(place)
    gone = homes.users.retire("alice")
    assert gone is not None
    assert (homes.directory / ".quarantine" / gone.kept_as / "home.img").exists()
    again = homes.home("alice")
    assert again.host_uid != place.host_uid
    assert [path.name for path in Path(again.home).iterdir()] == ["lost+found"]


def test_where_it_cannot_be_held_the_start_is_refused(
    homes: Homes, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """Without the tools a profile with disk: is refused with the command that helps; others start."""
    monkeypatch.setattr(module, "TOOLS", ("mkfs.none",))
    asyncio.run(homes.images.verify())
    homes.home("alice", None)
    control("without a size it is given", True)
    with pytest.raises(IsolationError, match=r"there is no mkfs\.none\. Run: apt-get install") as refused:
        homes.home("alice")
    assert refused.value.code == "home.no_quota"


def test_too_small_is_refused(homes: Homes) -> None:
    """A megabyte is no home."""
    with pytest.raises(IsolationError) as refused:
        homes.home("alice", 1 << 20)
    assert refused.value.code == "home.too_small"


def test_a_start_before_the_first_user_is_no_loss(tmp_path: Path) -> None:
    """The directory of images alone is no sign of a lost registry; an image is."""
    (tmp_path / "homes/.images").mkdir(parents=True)
    UserRegistry(str(tmp_path / "homes"), BASE, 100)
    (tmp_path / "homes/.images/alice-1.img").touch()
    with pytest.raises(Exception, match="holds homes"):
        UserRegistry(str(tmp_path / "homes"), BASE, 100)
