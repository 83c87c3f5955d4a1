"""Does a spec always render to the same config.json, and does it hold what the design asks for?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.oci.render import merge, render
from jupyter_sandbox_spawner.models import Mount
from tests.backends.facts import DOORS, PLACE, SPEC

GOLDEN = Path(__file__).parent / "golden/config.json"


def test_golden() -> None:
    """The config.json of a fixed spec is the one that was read by a person (golden/config.json)."""
    config = render(SPEC, DOORS, PLACE)
    config["linux"]["seccomp"] = "(the profile of backends/seccomp.json)"
    assert config == json.loads(GOLDEN.read_text())


@pytest.mark.proves("T3", "T4", "C03")
def test_no_identity_in_the_bundle() -> None:
    """The environment of pid 1 is PATH and no GPU; nothing of the hub can get into config.json."""
    config = render(replace(SPEC, environment={"SECRET": "x-marks-it"}), DOORS, PLACE)
    assert config["process"]["env"] == ["PATH=/usr/bin:/bin", "NVIDIA_VISIBLE_DEVICES=void"]
    assert "x-marks-it" not in json.dumps(config)


@pytest.mark.proves("T5")
def test_doors_are_bound_as_a_directory() -> None:
    """The directory of doors is bound, not its sockets, so a restarted gateway is reached again."""
    binds = {mount["destination"]: mount for mount in render(SPEC, DOORS, PLACE)["mounts"]}
    assert binds["/run/sandbox/doors"]["source"] == DOORS.directory
    assert "ro" in binds["/run/sandbox/doors"]["options"]


@pytest.mark.proves("T17")
def test_runtime_directory_is_a_tmpfs() -> None:
    """Jupyter's runtime files, which hold the server's token, lie on a tmpfs for uid 1000 alone."""
    (mount,) = [
        item for item in render(SPEC, DOORS, PLACE)["mounts"] if item["destination"] == "/run/jupyter"
    ]
    assert mount["type"] == "tmpfs"
    assert {"mode=0700", "uid=1000", "gid=1000"} <= set(mount["options"])


def test_no_cgroups_no_limits() -> None:
    """Where the host has no cgroups, config.json names neither a cgroup nor limits."""
    linux = render(SPEC, DOORS, replace(PLACE, cgroup=""))["linux"]
    assert "cgroupsPath" not in linux
    assert linux["resources"] == {"devices": [{"allow": False, "access": "rwm"}]}


def test_overlay_is_merged_deeply() -> None:
    """An overlay changes the leaf that it names and nothing beside it."""
    config = render(SPEC, DOORS, PLACE)
    merged = merge(config, {"linux": {"resources": {"cpu": {"shares": 512}}}})
    assert merged["linux"]["resources"]["cpu"] == {"quota": 150000, "period": 100000, "shares": 512}
    assert merged["process"] == config["process"]
    assert "shares" not in config["linux"]["resources"]["cpu"]


def test_a_dataset_is_bound_read_only() -> None:
    """Below a directory that the user cannot write to, and which is empty where there are none."""
    data = Mount(kind="dataset", source="/srv/cases", target="/data/cases", read_only=True, dataset="cases@1")
    mounts = render(replace(SPEC, mounts=(*SPEC.mounts, data)), DOORS, PLACE)["mounts"]
    found = [item for item in mounts if item["destination"].startswith("/data")]
    assert found == [
        {
            "destination": "/data",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "noexec", "mode=755", "size=65536", "nr_inodes=256"],
        },
        {
            "destination": "/data/cases",
            "type": "bind",
            "source": "/srv/cases",
            "options": ["bind", "rprivate", "nosuid", "nodev", "ro"],
        },
    ]
    assert found[0] in render(SPEC, DOORS, PLACE)["mounts"]


def test_a_runtime_that_makes_no_points_has_no_tmpfs_over_those_of_the_root() -> None:
    """Under gVisor a dataset is bound to its point in the root; without datasets the points are hidden."""
    data = Mount(kind="dataset", source="/srv/cases", target="/data/cases", read_only=True, dataset="cases@1")
    place = replace(PLACE, own_points=True)
    mounts = render(replace(SPEC, mounts=(*SPEC.mounts, data)), DOORS, place)["mounts"]
    found = [
        (item["destination"], item["type"]) for item in mounts if item["destination"].startswith("/data")
    ]
    assert found == [("/data/cases", "bind")]
    without = [
        item["type"] for item in render(SPEC, DOORS, place)["mounts"] if item["destination"] == "/data"
    ]
    assert without == ["tmpfs"]
