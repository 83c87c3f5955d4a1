"""Does the gateway find doors and records of sandboxes that it does not have, and take away only those?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.gateway.registry import _doors
from jupyter_sandbox_spawner.gateway.state import StateDirectory
from jupyter_sandbox_spawner.names import sandbox_id
from tests.programs.gateway_house import entry, gateway_house

STRAY = sandbox_id("nobody", "", "1")


def litter(directory: str, state: Path) -> None:
    """What a crash may leave: doors without a record, a record cut short, and things that are not ours."""
    doors = Path(directory).parent
    (doors / STRAY).mkdir()
    (doors / STRAY / "api.sock").touch()
    (doors / "lost+found").mkdir()
    (state / f"{STRAY}.new").write_text("{")
    (state / f"{STRAY}.json").write_text("{")


def there(*parts: object) -> bool:
    """Is it there?"""
    return Path(*map(str, parts)).exists()


async def test_strays_are_found_and_taken() -> None:
    """Doors and record of nobody are found and go; an open sandbox and foreign names are not found. A link
    among the doors is not followed."""
    async with gateway_house() as house:
        name, directory = await house.open(entry("s1"))
        state = Path(house.site.run_dir, "gateway")
        litter(directory, state)
        found = {(item.kind, item.sandbox) for item in await house.client.leftovers()}
        assert found == {("doors", STRAY), ("entry", STRAY)}
        await house.client.close_sandbox(STRAY)
        assert await house.client.leftovers() == ()
        assert not there(state, f"{STRAY}.new")
        assert there(directory, "api.sock")
        assert there(Path(directory).parent, "lost+found")
        assert [item.id for item in await house.client.inventory()] == [name]
        os.symlink(directory, Path(directory).parent / STRAY)
        await house.client.close_sandbox(STRAY)
        assert there(directory, "api.sock")
        assert await house.client.leftovers() == ()


def test_what_goes_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and doors that are taken away between two looks are left out, the others are found."""
    stays, goes = sandbox_id("ada", "", "1"), sandbox_id("bob", "", "1")
    state, real = StateDirectory(str(tmp_path / "state")), Path.iterdir
    for name in (stays, goes):
        (tmp_path / "state" / f"{name}.json").touch()
        (tmp_path / "doors" / name).mkdir(parents=True)
    gone = [path / name for path, name in ((tmp_path / "state", f"{goes}.json"), (tmp_path / "doors", goes))]
    for path in gone:
        path.rename(tmp_path / path.name)
    monkeypatch.setattr(Path, "iterdir", lambda self: [*real(self), *(p for p in gone if p.parent == self)])
    assert list(state.ids()) == [stays]
    assert list(_doors(str(tmp_path / "doors"))) == [stays]
    state.close()
