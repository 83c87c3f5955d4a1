"""What is left of a deleted user? A home in quarantine, a uid that is nobody's, and nothing for the next."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.launcher.users import UserRegistry

pytestmark = pytest.mark.lane("root")
BASE = 3_200_000


def registry(directory: Path, count: int = 100) -> UserRegistry:
    """A registry below a directory of the test, read from disk anew."""
    return UserRegistry(str(directory / "homes"), BASE, count)


def quarantine(directory: Path) -> list[Path]:
    """The homes in quarantine."""
    return sorted((directory / "homes/.quarantine").glob("*"))


@pytest.mark.proves("O06")
def test_the_next_of_the_name_gets_an_empty_home_and_another_uid(tmp_path: Path) -> None:
    """After a deletion the files are in quarantine under the old uid; the name starts anew."""
    users = registry(tmp_path)
    old = users.place("alice")
    Path(old.home, "letter").write_text("to bob")
    users.retire("alice")
    new = users.place("alice")
    assert new.host_uid != old.host_uid
    assert os.listdir(new.home) == []
    (kept,) = quarantine(tmp_path)
    assert (kept / "letter").read_text() == "to bob"
    assert os.stat(kept).st_uid == old.host_uid
    assert os.stat(kept.parent).st_mode & 0o777 == 0o700


def test_a_repeated_deletion_is_harmless(tmp_path: Path) -> None:
    """Deleting again, or a name nobody had, does nothing."""
    users = registry(tmp_path)
    users.place("alice")
    assert users.retire("alice") is not None
    assert users.retire("alice") is None
    assert len(quarantine(tmp_path)) == 1


@pytest.mark.proves("O06")
def test_a_deletion_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    """After a crash between registry and move, the next launcher moves the home before anybody gets it."""
    users = registry(tmp_path)
    old = users.place("alice")
    users.retire("alice")
    (kept,) = quarantine(tmp_path)
    os.rename(kept, old.home)  # as if the launcher had died before the move
    assert registry(tmp_path).place("alice").host_uid != old.host_uid
    assert len(quarantine(tmp_path)) == 1


@pytest.mark.proves("O06")
def test_a_uid_is_free_again_only_without_files(tmp_path: Path) -> None:
    """With the range used up, a retired uid is given out only when its quarantine was emptied."""
    users = registry(tmp_path, count=4)
    old = users.place("alice")
    users.place("bob")
    users.retire("alice")
    with pytest.raises(ConfigurationError) as full:
        users.place("carol")
    assert full.value.code == "users.range_full"
    (kept,) = quarantine(tmp_path)
    kept.rmdir()
    assert users.place("carol").host_uid == old.host_uid
    assert registry(tmp_path, count=4).find("carol") == users.find("carol")


def test_a_registry_of_the_first_version_is_read(tmp_path: Path) -> None:
    """A registry written before users could be retired keeps its users."""
    old = registry(tmp_path).place("alice")
    document = json.loads((tmp_path / "uids.json").read_text())
    del document["retired"]
    (tmp_path / "uids.json").write_text(json.dumps({**document, "version": 1}))
    assert registry(tmp_path).place("alice") == old
