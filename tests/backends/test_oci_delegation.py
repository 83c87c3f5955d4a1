"""Is a cgroup that was handed to an ordinary user found and used? Plain files stand for the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.oci.cgroups import Cgroups
from jupyter_sandbox_spawner.backends.oci.delegation import LEAF, delegated, make_room, own_cgroup

V1 = "9:name=systemd:/a\n8:pids:/user/ada\n5:cpu,cpuacct:/user/ada\n4:memory:/user/ada\n0::/other\n"
SERVICE = "/user.slice/user-1000.slice/user@1000.service/app.slice/hub.service"
V2 = f"0::{SERVICE}\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (V1, "/user/ada"),
        (V2, SERVICE),
        (
            V2.replace("\n", f"/{LEAF}\n"),
            "/user.slice/user-1000.slice/user@1000.service/app.slice/hub.service",
        ),
        (V1.replace("8:pids:/user/ada", "8:pids:/"), ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_own_cgroup(text: str, found: str) -> None:
    """One path for memory, pids and cpu is ours; the tree's top, or three different paths, are not."""
    assert own_cgroup(text) == found


def test_v2_makes_room(tmp_path: Path) -> None:
    """On v2 our processes move into a leaf, and sandboxes get their cgroups beside it."""
    ours = tmp_path / V2.strip().removeprefix("0::/")
    ours.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (ours / "cgroup.procs").write_text("11\n")
    below = delegated(str(tmp_path), V2)
    assert below == own_cgroup(V2)
    make_room(str(tmp_path), below)
    assert (ours / LEAF / "cgroup.procs").read_text() == "11"
    cgroups = Cgroups(str(tmp_path), below)
    assert cgroups.path("one") == f"{below}/one"
    (ours / "one").mkdir()
    (ours / "one/cgroup.procs").write_text("12\n")
    assert cgroups.processes("one") == (12,)


def test_v1_needs_every_hierarchy(tmp_path: Path) -> None:
    """On v1 a cgroup is ours only where we may make others in every hierarchy."""
    for name in ("memory", "pids", "cpu", "devices"):
        (tmp_path / name / "user/ada").mkdir(parents=True)
    assert delegated(str(tmp_path), V1) == "/user/ada"
    (tmp_path / "devices/user/ada").rmdir()
    assert delegated(str(tmp_path), V1) == ""
