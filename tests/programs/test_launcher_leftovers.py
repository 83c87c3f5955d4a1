"""What does the launcher say is left over on its host, and what does it refuse to take away?"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.errors import AnswerError
from jupyter_sandbox_spawner.leftovers import Leftover, LeftoverKind
from jupyter_sandbox_spawner.names import sandbox_id

from .test_launcher import House, house  # noqa: F401 - a fixture

pytestmark = pytest.mark.lane("root", "runc", "cgroup")
STRAY = sandbox_id("nobody", "", "1")


async def found(house: House, users: bool = False) -> tuple[Leftover, ...]:  # noqa: F811
    """What the launcher tells; cgroups are the whole host's, so others' tests have some, too."""
    told = await house.client.leftovers(users)
    return tuple(item for item in told if item.kind not in ("cgroup", "processes"))


def make(directory: str) -> Path:
    """A directory."""
    Path(directory).mkdir(parents=True)
    return Path(directory)


async def test_users_and_homes_are_told_on_request(house: House) -> None:  # noqa: F811
    """Each user with the uid, and a directory among the homes that is nobody's; both stay whoever asks."""
    place = await house.client.place("alice")
    stray = make(f"{house.site.homes_dir}/old-backup")
    assert await found(house) == ()
    both = {(item.kind, item.name): item for item in await found(house, True)}
    assert set(both) == {("user", "alice"), ("home", "old-backup")}
    assert both["user", "alice"].detail == f"uid {place.host_uid}"
    for item in both.values():
        with pytest.raises(AnswerError) as caught:
            await house.client.clear(item)
        assert caught.value.code == "leftover.kept"
    assert stray.is_dir()


async def test_a_stray_bundle_goes_by_way_of_the_quarantine(house: House) -> None:  # noqa: F811
    """First moved aside, then erased; a second time there is nothing to do."""
    make(f"{house.site.launcher_dir}/sandboxes/{STRAY}")
    (item,) = await found(house)
    assert (item.kind, item.sandbox) == ("bundle", STRAY)
    assert await house.client.clear(item)
    (kept,) = await found(house)
    assert kept.kind == "quarantined"
    assert await house.client.clear(kept)
    assert not await house.client.clear(kept)
    assert await found(house) == ()


@pytest.mark.parametrize("kind", ["bundle", "mount", "quarantined", "cgroup", "home_mount"])
async def test_no_path_of_the_asker_is_used(house: House, kind: LeftoverKind) -> None:  # noqa: F811
    """A name with slashes and dots is found by no look: nothing happens to what it leads to."""
    place = await house.client.place("alice")
    for name in (f"../../../state/homes/{Path(place.home).name}", place.home, "..", Path(place.home).name):
        with suppress(AnswerError):  # a path is no name, so there may be no such route
            assert not await house.client.clear(Leftover(kind=kind, name=name))
    assert [item.name for item in await found(house, True)] == ["alice"]
    assert (await house.client.place("alice")).home == place.home


async def test_an_unknown_kind_is_refused(house: House) -> None:  # noqa: F811
    """Whatever a later control may ask for."""
    with pytest.raises(AnswerError) as caught:
        await house.client.clear(Leftover(kind="uid", name="1"))  # type: ignore[arg-type]
    assert caught.value.code == "leftover.unknown"
