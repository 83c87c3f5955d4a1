"""Does every user have a host uid and a home of her own, for good?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import BackendError, ConfigurationError
from jupyter_sandbox_spawner.launcher.users import UserRegistry
from tests.support.disks import full, small

pytestmark = pytest.mark.lane("root")
BASE = 3_200_000


def registry(directory: Path, count: int = 100) -> UserRegistry:
    """A registry below a directory of the test, read from disk anew."""
    return UserRegistry(str(directory / "homes"), BASE, count)


@pytest.mark.proves("T7", "O05")
def test_users_have_uids_of_their_own(tmp_path: Path) -> None:
    """Names that look alike get different uids and homes, none of them the sandboxes' uid 0."""
    users = registry(tmp_path)
    names = ("a-b", "a_b", "a--b", "a.b", "ä", "x" * 200)
    places = [users.place(name) for name in names]
    assert len({place.host_uid for place in places}) == len({place.home for place in places}) == len(names)
    assert users.root_uid == BASE
    assert min(place.host_uid for place in places) == BASE + 1


def test_place_is_durable(tmp_path: Path) -> None:
    """Another registry on the same directory, as after a crash, gives the same uid and home."""
    first = registry(tmp_path).place("alice")
    assert registry(tmp_path).place("alice") == first
    assert registry(tmp_path).find("alice") == first
    assert registry(tmp_path).find("bob") is None


def test_home_is_private(tmp_path: Path) -> None:
    """A home is 0700, its user's own, below a directory that is 0700."""
    place = registry(tmp_path).place("alice")
    status = os.stat(place.home)
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o700, place.host_uid, place.host_uid)
    assert os.stat(tmp_path / "homes").st_mode & 0o777 == 0o700
    assert os.stat(tmp_path / "uids.json").st_mode & 0o777 == 0o600


def test_uid_is_never_given_twice(tmp_path: Path) -> None:
    """The next user gets a uid above all that were ever given, also when homes are gone."""
    first = registry(tmp_path).place("alice")
    os.rmdir(first.home)
    assert registry(tmp_path).place("bob").host_uid == first.host_uid + 1
    assert registry(tmp_path).place("alice").host_uid == first.host_uid


def test_foreign_home_is_refused(tmp_path: Path) -> None:
    """A home that belongs to another uid is refused with the command that helps."""
    place = registry(tmp_path).place("alice")
    os.chown(place.home, BASE + 9, BASE + 9)
    with pytest.raises(ConfigurationError, match="chown -hR") as refused:
        registry(tmp_path).place("alice")
    assert refused.value.code == "users.home_foreign"


@pytest.mark.proves("I15")
def test_symlinked_home_is_refused(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """A home that is a link, to whatever, is refused."""
    place = registry(tmp_path).place("alice")
    control("her own directory is taken", registry(tmp_path).place("alice") == place)
    os.rmdir(place.home)
    os.symlink("/root", place.home)
    with pytest.raises(ConfigurationError) as refused:
        registry(tmp_path).place("alice")
    assert refused.value.code == "users.home_foreign"


@pytest.mark.proves("I15")
@pytest.mark.parametrize("name", ["../bob", "a/b", "", "..", "~root", "Alice", "a\nb", "a\0b"])
def test_odd_names_are_refused(tmp_path: Path, name: str, control: Callable[[str, bool], None]) -> None:
    """A name that is not in canonical form gets no place and leaves no trace in the registry."""
    control("a plain name gets one", registry(tmp_path / "other").place("bob").user == "bob")
    with pytest.raises(ConfigurationError) as refused:
        registry(tmp_path).place(name)
    assert refused.value.code == "username.invalid"
    assert not (tmp_path / "uids.json").exists()


def test_range_ends(tmp_path: Path) -> None:
    """When every uid of the range is given, the next user is refused and the others keep theirs."""
    users = registry(tmp_path, count=4)
    kept = [users.place("alice"), users.place("bob")]
    with pytest.raises(ConfigurationError) as refused:
        users.place("carol")
    assert refused.value.code == "users.range_full"
    assert [users.place("alice"), users.place("bob")] == kept


def test_a_range_that_moved_is_named(tmp_path: Path) -> None:
    """A user whose uid is no longer in the range is refused by name, and keeps the uid for its return."""
    place = registry(tmp_path).place("alice")
    moved = UserRegistry(str(tmp_path / "homes"), BASE + 1000, 100)
    with pytest.raises(ConfigurationError) as refused:
        moved.place("alice")
    assert (refused.value.code, str(place.host_uid) in refused.value.message) == ("users.range_moved", True)
    assert registry(tmp_path).place("alice") == place


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "users": {}}', '{"version": 1, "users": {"a": 5, "b": 5}}']
)
def test_broken_registry_stops_the_launcher(tmp_path: Path, text: str) -> None:
    """A registry that cannot be read is refused, never replaced by an empty one."""
    registry(tmp_path).place("alice")
    (tmp_path / "uids.json").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        registry(tmp_path)
    assert refused.value.code == "users.registry_broken"


def test_lost_registry_stops_the_launcher(tmp_path: Path) -> None:
    """Homes without their registry are refused: a new user could get an old one's uid."""
    registry(tmp_path).place("alice")
    kept = json.loads((tmp_path / "uids.json").read_text())
    (tmp_path / "uids.json").unlink()
    with pytest.raises(ConfigurationError) as refused:
        registry(tmp_path)
    assert refused.value.code == "users.registry_missing"
    assert kept["users"] == {"alice": BASE + 1}


def test_a_full_disk_is_told_as_such(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """On a full disk a new user's first start is refused with the remedy; with room they get uid and home."""
    with small(tmp_path):
        users = registry(tmp_path)
        users.place("alice")
        with full(tmp_path), pytest.raises(BackendError, match="Make room") as refused:
            users.place("bob")
        assert refused.value.code == "launcher.disk_full"
        assert users.find("bob") is None
        control("with room bob gets a place", users.place("bob").host_uid == BASE + 2)
        assert registry(tmp_path).place("bob").host_uid == BASE + 2
