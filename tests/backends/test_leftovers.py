"""Does a backend find what nobody has, take away only that, and end what was tampered with?"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.backends.oci.kernel import mount_tmpfs, mounts_below
from jupyter_sandbox_spawner.names import LABEL_OWNER, sandbox_id
from tests.backends.tiny import OciBench

pytestmark = pytest.mark.lane("root", "runc")
Control = Callable[[str, bool], None]


def stray() -> str:
    """An id that nobody has."""
    return sandbox_id("nobody", "", os.urandom(8).hex())


def there(*parts: object) -> bool:
    """Is something there, be it a link that leads nowhere?"""
    return os.path.lexists(Path(*map(str, parts)))


def read(*parts: object) -> str:
    """The text of a file."""
    return Path(*map(str, parts)).read_text()


def make(directory: Path, file: str = "") -> Path:
    """A directory, with a file in it."""
    directory.mkdir(parents=True, exist_ok=True)
    if file:
        (directory / file).write_text(file)
    return directory


def kept_alive(place: Path) -> subprocess.Popen[bytes]:
    """A process in a cgroup."""
    process = subprocess.Popen(["sleep", "60"])
    (place / "cgroup.procs").write_text(str(process.pid))
    return process


async def names(oci: OciBench) -> set[tuple[str, str]]:
    """Kind and sandbox of all that is left over; other tests' cgroups aside."""
    found = await oci.backend.leftovers()
    return {(item.kind, item.sandbox) for item in found if item.kind not in ("cgroup", "processes")}


async def test_a_bundle_deleted_by_hand_keeps_nobody_alive(oci: OciBench) -> None:
    """A sandbox whose directory was deleted is stopped and removed like any other, and leaves nothing."""
    spec = await oci.running()
    shutil.rmtree(Path(oci.directory, "l/sandboxes", spec.id), ignore_errors=True)
    status = await oci.backend.stop(spec.id, 0)
    assert status.value == "stopped"
    await oci.backend.remove(spec.id)
    assert await oci.backend.inventory() == ()
    assert not there(oci.directory, "l/sandboxes", spec.id)
    assert await names(oci) == set()


async def test_what_somebody_has_is_no_leftover(oci: OciBench, control: Control) -> None:
    """Nothing of a sandbox that runs is found, whatever is asked for by name."""
    spec = await oci.running()
    control("it has a cgroup and a bundle", bool(Cgroups().find(spec.id)) or os.geteuid() != 0)
    assert spec.id not in {item.sandbox for item in await oci.backend.leftovers()}
    for kind in ("cgroup", "processes", "bundle", "mount"):
        assert not await oci.backend.clear(kind, spec.id)
    assert not await oci.backend.clear("runtime_state", f"runc.{spec.id}")
    status = await oci.backend.status(spec.id)
    assert status is not None
    assert status.value == "running"


async def test_a_bundle_that_nobody_has_is_moved_aside_first(oci: OciBench) -> None:
    """Its mounts are taken away, its files are kept in quarantine until that is cleared as well."""
    name = stray()
    bundle = Path(oci.directory, "l/sandboxes", name)
    make(make(bundle, "notes") / "log")
    mount_tmpfs(str(bundle / "log"), 1 << 16)
    assert await names(oci) == {("bundle", name), ("mount", name)}
    assert await oci.backend.clear("bundle", name)
    (kept,) = [item for item in await oci.backend.leftovers() if item.kind == "quarantined"]
    assert kept.sandbox == name
    assert read(oci.directory, "l/quarantine", kept.name, "notes") == "notes"
    assert not mounts_below(str(bundle))
    assert await oci.backend.clear("quarantined", kept.name)
    assert await names(oci) == set()


@pytest.mark.parametrize("kind", ["bundle", "quarantined"])
async def test_a_link_is_taken_away_and_not_followed(oci: OciBench, kind: str) -> None:
    """A link that stands where a leftover may be goes; what it leads to stays."""
    precious = make(Path(oci.directory, "precious"), "file")
    name = stray() if kind == "bundle" else f"{stray()}-20260101T000000Z"
    place = make(Path(oci.directory, "l", "sandboxes" if kind == "bundle" else "quarantine"))
    os.symlink(precious, place / name)
    assert await oci.backend.clear("bundle" if kind == "bundle" else "quarantined", name)
    assert not there(place, name)
    assert read(precious, "file") == "file"


@pytest.mark.parametrize("name", ["../precious", "sandboxes", "sb-", "/etc", "..", "%2e%2e"])
async def test_nothing_is_cleared_by_a_name_that_was_not_found(oci: OciBench, name: str) -> None:
    """A path, a foreign directory and half an id are found by no look, so nothing happens."""
    precious = make(Path(oci.directory, "l/precious"))
    for kind in ("bundle", "mount", "quarantined", "cgroup", "processes", "runtime_state"):
        assert not await oci.backend.clear(kind, name)
    assert there(precious)


@pytest.mark.lane("cgroup")
async def test_cgroups_that_nobody_has(oci: OciBench) -> None:
    """An empty one and one with a process are told apart, and both can be taken away."""
    cgroups, name = Cgroups(), stray()
    hierarchy = "" if cgroups.kind == "v2" else "pids"
    place = make(Path("/sys/fs/cgroup", hierarchy, f"{LABEL_OWNER}-{name}"))
    assert ("cgroup", name) in {(item.kind, item.name) for item in await oci.backend.leftovers()}
    process = kept_alive(place)
    try:
        assert not await oci.backend.clear("cgroup", name)
        assert process.poll() is None
        assert ("processes", name) in {(item.kind, item.name) for item in await oci.backend.leftovers()}
        assert await oci.backend.clear("processes", name)
        assert await asyncio.to_thread(process.wait, 10) == -9
        assert not there(place)
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
