"""Does a spec always render to the same create request, and does it hold what the design asks for?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.backends.docker.check import check
from jupyter_sandbox_spawner.backends.docker.render import cpu_shares, render
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.models import Mount
from tests.backends.docker_facts import DOORS, PLACE, SPEC

GOLDEN = Path(__file__).parent / "golden/container.json"


def test_golden() -> None:
    """The request of a fixed spec is the one that was read by a person (golden/container.json)."""
    request = render(SPEC, DOORS, PLACE)
    request["HostConfig"]["SecurityOpt"][1] = "seccomp=(the profile of backends/seccomp.json)"
    assert request == json.loads(GOLDEN.read_text())


@pytest.mark.proves("T4", "C03")
def test_no_secret_in_what_inspect_shows() -> None:
    """The environment is PATH and no GPU; variables of the profile come by the boot door."""
    request = render(replace(SPEC, environment={"SECRET": "x-marks-it"}), DOORS, PLACE)
    assert request["Env"] == ["PATH=/usr/bin:/bin", "NVIDIA_VISIBLE_DEVICES=void"]
    assert "x-marks-it" not in json.dumps(request)


@pytest.mark.proves("T5")
def test_doors_are_bound_as_a_directory() -> None:
    """The directory of doors is bound read-only, not its sockets, so a restarted gateway is reached again."""
    mounts = {item["Target"]: item for item in render(SPEC, DOORS, PLACE)["HostConfig"]["Mounts"]}
    assert (mounts["/run/sandbox/doors"]["Source"], mounts["/run/sandbox/doors"]["ReadOnly"]) == (
        DOORS.directory,
        True,
    )


@pytest.mark.proves("T6")
def test_one_seccomp_profile() -> None:
    """Docker gets the profile of this package, as the local backend does."""
    _, option = render(SPEC, DOORS, PLACE)["HostConfig"]["SecurityOpt"]
    assert option == f"seccomp={PLACE.seccomp}"
    assert json.loads(PLACE.seccomp)["defaultAction"] == "SCMP_ACT_ERRNO"


@pytest.mark.parametrize(("cores", "weight"), [(0.001, 2), (1.5, 1536), (4096, 262_144)])
def test_cpu_shares(cores: float, weight: int) -> None:
    """The weight is in proportion, within what the kernel takes."""
    assert cpu_shares(cores) == weight


def test_a_dataset_is_bound_read_only() -> None:
    """Exactly so, below /data; nothing of it is writable, and no mount below its source comes along."""
    data = Mount(kind="dataset", source="/srv/cases", target="/data/cases", read_only=True, dataset="cases@1")
    spec = replace(SPEC, mounts=(*SPEC.mounts, data))
    request = render(spec, DOORS, PLACE)
    check(request, spec, DOORS, PLACE)
    assert request["HostConfig"]["Mounts"][-1] == {
        "Type": "bind",
        "Source": "/srv/cases",
        "Target": "/data/cases",
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }
    request["HostConfig"]["Mounts"][-1]["ReadOnly"] = False
    with pytest.raises(IsolationError) as refused:
        check(request, spec, DOORS, PLACE)
    assert refused.value.code == "isolation.mount_writable"
