"""Is a dataset that the launcher mounts the file's own, unchanged, and in a sandbox that is narrow enough?"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError, RefusedError
from jupyter_sandbox_spawner.launcher import manifests
from jupyter_sandbox_spawner.launcher.admission import Books, admit
from jupyter_sandbox_spawner.launcher.data import DataPlaces
from jupyter_sandbox_spawner.launcher.manifests import Manifests, Seen, verify
from jupyter_sandbox_spawner.launcher.users import UserRegistry
from jupyter_sandbox_spawner.models import BrowserPolicy, EgressPolicy, EgressRule, Mount, UserPlace
from jupyter_sandbox_spawner.rules.catalogue import Dataset

from .test_launcher_admission import DOORS, PLACE, SITE, SPEC

Control = Callable[[str, bool], None]
CASES = Dataset(id="cases", version="1", uri="file:///srv/cases", owner="olga", tags=("phi",))
NEWS = Dataset(id="news", version="1", uri="file:///srv/news", owner="olga", tags=("public",))
INSIDE = EgressRule(pattern="pkg.sandbox.internal", ports=(80,))
OUTSIDE = EgressRule(pattern="example.org", ports=(443,))
BOOKS = Books(
    site=replace(SITE, internal_services={"pkg.sandbox.internal:80": "127.0.0.1:1"}),
    datasets={item.name: item for item in (CASES, NEWS)},
)
ZONED = UserPlace(user="alice", host_uid=PLACE.host_uid, home=f"{PLACE.home}.phi", root_uid=PLACE.root_uid)


def _mount(data: Dataset, /, **changes: Any) -> Mount:
    mount = Mount(
        kind="dataset",
        source=data.path,
        target=data.target,
        read_only=True,
        dataset=data.name,
        tags=data.tags,
    )
    return replace(mount, **changes)


HOME = replace(SPEC.mounts[0], source=ZONED.home)
GUARDED = replace(
    SPEC,
    zone="phi",
    ttl=8 * 3600,
    mounts=(HOME, _mount(CASES), _mount(NEWS)),
    egress=EgressPolicy(rules=(INSIDE,)),
    browser=BrowserPolicy(downloads=False),
)
LOOSE: dict[str, tuple[dict[str, Any], str]] = {
    "the ordinary home": ({"mounts": (SPEC.mounts[0], _mount(CASES))}, "mount_foreign"),
    "a less guarded zone": ({"zone": "pii"}, "zone_loose"),
    "no zone": ({"zone": ""}, "zone_loose"),
    "a host outside": ({"egress": EgressPolicy(rules=(INSIDE, OUTSIDE))}, "zone_loose"),
    "another port": ({"egress": EgressPolicy(rules=(replace(INSIDE, ports=(80, 81)),))}, "zone_loose"),
    "no end": ({"ttl": None}, "zone_loose"),
    "a late end": ({"ttl": 8 * 3600 + 1}, "zone_loose"),
    "downloads": ({"browser": BrowserPolicy()}, "zone_loose"),
    "a foreign origin": ({"browser": BrowserPolicy(downloads=False, hosts=("https://a.b",))}, "zone_loose"),
    "writable": ({"mounts": (HOME, _mount(CASES, read_only=False))}, "dataset_foreign"),
    "another directory": ({"mounts": (HOME, _mount(CASES, source="/etc"))}, "dataset_foreign"),
    "another name": ({"mounts": (HOME, _mount(CASES, dataset="news@1"))}, "dataset_foreign"),
    "an unlisted name": ({"mounts": (HOME, _mount(CASES, dataset="x@1"))}, "dataset_foreign"),
    "another place inside": ({"mounts": (HOME, _mount(CASES, target="/usr"))}, "dataset_foreign"),
    "twice": ({"mounts": (HOME, _mount(CASES), _mount(CASES))}, "dataset_foreign"),
    "lower tags": ({"zone": "", "mounts": (HOME, _mount(CASES, tags=("public",)))}, "zone_loose"),
}


@pytest.mark.proves("D01")
@pytest.mark.parametrize("name", LOOSE)
def test_a_hub_cannot_loosen_a_zone(name: str, control: Control) -> None:
    """Whatever the hub sends: guarded data is mounted as the launcher's file says, in no wider spec."""
    admit(GUARDED, DOORS, BOOKS, ZONED, {})
    control("the narrow spec is admitted", True)
    changes, code = LOOSE[name]
    with pytest.raises(RefusedError) as refused:
        admit(replace(GUARDED, **changes), DOORS, BOOKS, ZONED, {})
    assert refused.value.code == f"launcher.{code}"


@pytest.mark.proves("D01")
def test_a_zones_home_needs_a_narrow_spec() -> None:
    """Without any dataset, too: what was made from the data lies in that home."""
    bare = replace(GUARDED, mounts=(HOME,))
    admit(bare, DOORS, BOOKS, ZONED, {})
    with pytest.raises(RefusedError, match="hosts outside"):
        admit(replace(bare, egress=EgressPolicy(rules=(OUTSIDE,))), DOORS, BOOKS, ZONED, {})


def test_homes_of_zones(tmp_path: Path) -> None:
    """One uid, a home a zone, none of them another's; a zone that nobody knows has none."""
    users = UserRegistry(str(tmp_path / "homes"), 3_000_000, 100)
    places = [users.place("alice", zone) for zone in ("", "pii", "phi", "secret")]
    assert len({place.home for place in places}) == 4
    assert len({place.host_uid for place in places}) == 1
    assert users.find("alice", "phi") == places[2]
    assert users.find("alice", "../bob") is None
    with pytest.raises(ConfigurationError, match="no zone"):
        users.place("alice", "../bob")


def test_every_home_of_a_deleted_user_is_put_away(tmp_path: Path) -> None:
    """A new user of the name finds none of them, and while one is kept the uid is nobody else's."""
    users = UserRegistry(str(tmp_path / "homes"), 3_000_000, 4)
    for zone in ("", "phi"):
        Path(users.place("alice", zone).home, "note").write_text("mine")
    users.retire("alice")
    kept = sorted(Path(tmp_path, "homes/.quarantine").iterdir())
    assert [(item / "note").read_text() for item in kept] == ["mine", "mine"]
    assert not list(Path(users.place("alice", "phi").home).iterdir())
    (kept[0] / "note").unlink()
    kept[0].rmdir()
    with pytest.raises(ConfigurationError, match="host uids"):
        users.place("bob")


@pytest.fixture
def cases(tmp_path: Path) -> Dataset:
    """A dataset of two files with its manifest."""
    place = tmp_path / "cases"
    (place / "more").mkdir(parents=True)
    (place / "a.csv").write_text("a")
    (place / "more/b.csv").write_text("b")
    (place / "link").symlink_to("more/b.csv")
    for path in (place, place / "more"):
        path.chmod(0o755)
    return _sealed(place)


def _sealed(place: Path) -> Dataset:
    """The dataset with a manifest of what lies there now."""
    names = ["a.csv", "more/b.csv"]
    lines = [f"{hashlib.sha256((place / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (place / "MANIFEST.sha256").write_text("".join(lines))
    for path in place.rglob("*.*"):
        path.chmod(0o644)
    digest = hashlib.sha256((place / "MANIFEST.sha256").read_bytes()).hexdigest()
    return Dataset(id="cases", version="1", uri=f"file://{place}", owner="olga", manifest=digest)


def _break(place: Path, how: str) -> None:
    if how == "changed":
        (place / "a.csv").write_text("x")
    elif how == "missing":
        (place / "more/b.csv").unlink()
        (place / "link").unlink()
    elif how == "extra":
        (place / "more/c.csv").write_text("c")
    elif how == "manifest":
        (place / "MANIFEST.sha256").write_text("")
    elif how == "no manifest":
        (place / "MANIFEST.sha256").unlink()
    elif how == "pipe":
        os.mkfifo(place / "pipe")
    elif how == "link out":
        (place / "out").symlink_to("/etc/passwd")
    elif how == "link to the directory above":
        (place / "more/up").symlink_to("../../..")
    elif how == "private":
        (place / "a.csv").chmod(0o640)


BROKEN = {
    "changed": ("poisoned", "a.csv"),
    "missing": ("poisoned", "more/b.csv"),
    "extra": ("poisoned", "more/c.csv"),
    "manifest": ("poisoned", "MANIFEST.sha256"),
    "no manifest": ("poisoned", "MANIFEST.sha256"),
    "pipe": ("poisoned", "pipe"),
    "link out": ("link", "out"),
    "link to the directory above": ("link", "more/up"),
    "private": ("unreadable", "a.csv"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_dataset_is_refused_by_its_file(cases: Dataset, how: str, control: Control) -> None:
    """Changed, missing, extra, another manifest, no file, a way out, not readable: refused, named."""
    seen: Seen = {}
    verify(cases, seen)
    control("whole it is taken", True)
    _break(Path(cases.path), how)
    code, name = BROKEN[how]
    for known in (seen, {}):
        with pytest.raises(RefusedError) as refused:
            verify(cases, known)
        assert refused.value.code == f"dataset.{code}"
        assert name in refused.value.message


def test_a_second_look_reads_nothing(cases: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has the same size, times and inode is not read again; a change that keeps size and mtime is."""
    seen: Seen = {}
    verify(cases, seen)
    read: list[str] = []
    real = os.open

    def told(path: Any, *more: Any, **named: Any) -> int:
        read.append(os.path.basename(path))
        return real(path, *more, **named)

    monkeypatch.setattr(manifests.os, "open", told)
    verify(cases, seen)
    assert read == []
    file = Path(cases.path, "a.csv")
    before = file.stat()
    file.write_text("x")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RefusedError, match=r"a\.csv"):
        verify(cases, seen)
    assert "a.csv" in read


def test_a_link_to_the_dataset_is_no_dataset(cases: Dataset, tmp_path: Path) -> None:
    """Its address is the real one, so that nothing can be put in its place."""
    (tmp_path / "link").symlink_to(cases.path)
    with pytest.raises(RefusedError, match="link leads there"):
        verify(replace(cases, uri=f"file://{tmp_path}/link"), {})


async def test_a_large_dataset_is_read_on(cases: Dataset) -> None:
    """A start does not wait for long; the next one finds what was read meanwhile."""
    waiting = Manifests(patience=0.0)
    with pytest.raises(RefusedError) as refused:
        await waiting.verify(cases)
    assert refused.value.code == "dataset.verifying"
    while waiting._running:
        await asyncio.wait(list(waiting._running.values()))
    await Manifests(patience=20.0).verify(cases)


async def test_a_dataset_is_no_place_of_the_site(tmp_path: Path, cases: Dataset) -> None:
    """The launcher reads the file itself, and refuses what would show homes or sockets."""
    book = tmp_path / "book.yaml"
    book.write_text(
        "profiles:\n  - {display_name: A, slug: a, default: true, sandbox: {cpu: 1, memory: 1G}}\n"
        f'datasets:\n  - {{id: cases, version: "1", uri: "{cases.uri}", owner: o}}\n'
    )
    spec = replace(GUARDED, mounts=(HOME, _mount(replace(cases, tags=()))))
    places = DataPlaces(replace(SITE, profiles=str(book)))
    assert (await places.listed())["cases@1"].path == cases.path
    await places.verify(spec)
    for own in (cases.path, str(tmp_path)):
        inside = DataPlaces(replace(SITE, profiles=str(book), state_dir=own))
        await inside.listed()
        with pytest.raises(RefusedError) as refused:
            await inside.verify(spec)
        assert refused.value.code == "dataset.misplaced"
