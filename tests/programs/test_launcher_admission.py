"""Is a request that differs from the launcher's own books refused, by the field that differs?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.errors import RefusedError
from jupyter_sandbox_spawner.launcher.admission import Books, admit
from jupyter_sandbox_spawner.models import Doors, Mount, Resources, SandboxSpec, UserPlace
from jupyter_sandbox_spawner.settings import Environment, Site

SITE = Site(
    run_dir="/run/jupyter-sandbox",
    state_dir="/var/lib/jupyter-sandbox",
    profiles="profiles.yaml",
    public_port=0,
    hub_port=0,
    proxy_api_port=0,
    front_port=0,
    environments={"tiny": Environment(prefix="/opt/tiny")},
)
PLACE = UserPlace(user="alice", host_uid=3_000_001, home=f"{SITE.homes_dir}/alice-x", root_uid=3_000_000)
SPEC = SandboxSpec(
    id="sb-" + "a" * 20,
    user="alice",
    server="",
    profile="small",
    profile_digest="0",
    environment_name="tiny",
    host_uid=PLACE.host_uid,
    resources=Resources(cpu=1.0, memory=1 << 30),
    mounts=(Mount(kind="home", source=PLACE.home, target="/home/jovyan", read_only=False),),
)
DOORS = Doors(directory=f"{SITE.doors_dir}/{SPEC.id}")


def _home(**changes: Any) -> dict[str, Any]:
    return {"mounts": (replace(SPEC.mounts[0], **changes),)}


def _limits(**changes: Any) -> dict[str, Any]:
    return {"resources": replace(SPEC.resources, **changes)}


DIFFERENCES: dict[str, tuple[dict[str, Any], str]] = {
    "an id that is none": ({"id": "sb-../../../../etc/passwd"}, "id_invalid"),
    "another user's uid": ({"host_uid": 3_000_002}, "uid_foreign"),
    "uid 0": ({"host_uid": 0}, "uid_foreign"),
    "doors of uid 0": ({"door_uid": 0}, "uid_foreign"),
    "doors of another uid": ({"door_uid": 3_000_002}, "uid_foreign"),
    "doors of gVisor's uid without gVisor": ({"door_uid": 3_000_000}, "uid_foreign"),
    "an unknown image": ({"environment_name": "/etc"}, "environment_unknown"),
    "another runtime": ({"runtime": "/bin/sh"}, "runtime_unknown"),
    "no home": ({"mounts": ()}, "mount_foreign"),
    "two homes": ({"mounts": SPEC.mounts * 2}, "mount_foreign"),
    "the host's /etc": (_home(source="/etc"), "mount_foreign"),
    "another user's home": (_home(source=f"{SITE.homes_dir}/bob-x"), "mount_foreign"),
    "a home with dots": (_home(source=f"{PLACE.home}/../bob-x"), "mount_foreign"),
    "a home elsewhere": (_home(target="/usr"), "mount_foreign"),
    "a dataset in place of the home": (_home(kind="dataset"), "mount_foreign"),
    "no memory": (_limits(memory=0), "resources_invalid"),
    "endless pids": (_limits(pids=-1), "resources_invalid"),
    "no cpu": (_limits(cpu=0.0), "resources_invalid"),
    "endless tmpfs": (_limits(tmpfs=0), "resources_invalid"),
    "endless inodes": (_limits(tmpfs_inodes=0), "resources_invalid"),
    "endless files": (_limits(files=1 << 30), "resources_invalid"),
}


@pytest.mark.proves("H04")
@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_is_refused(name: str, control: Callable[[str, bool], None]) -> None:
    """A request that differs from registry and site in one field is refused with that field's code."""
    admit(SPEC, DOORS, Books(site=SITE), PLACE, {})
    control("the request without the difference is admitted", True)
    changes, code = DIFFERENCES[name]
    with pytest.raises(RefusedError) as refused:
        admit(replace(SPEC, **changes), DOORS, Books(site=SITE), PLACE, {})
    assert refused.value.code == f"launcher.{code}"
    assert refused.value.field


def test_user_without_a_place() -> None:
    """A user whom the registry does not know is refused, whatever uid is named, and told what to do."""
    with pytest.raises(RefusedError) as refused:
        admit(SPEC, DOORS, Books(site=SITE), None, {})
    assert refused.value.code == "launcher.no_home"
    assert "Start the server again" in str(refused.value)


def test_foreign_doors() -> None:
    """Doors of another sandbox, or any other directory, are refused."""
    for directory in ("/etc", SITE.doors_dir, f"{SITE.doors_dir}/sb-{'b' * 20}", f"{DOORS.directory}/../x"):
        with pytest.raises(RefusedError) as refused:
            admit(SPEC, Doors(directory=directory), Books(site=SITE), PLACE, {})
        assert refused.value.code == "launcher.doors_foreign"


def test_large_overlay() -> None:
    """An overlay beyond 64 KiB is refused before anybody reads it."""
    with pytest.raises(RefusedError) as refused:
        admit(SPEC, DOORS, Books(site=SITE), PLACE, {"annotations": {"x": "y" * 70_000}})
    assert refused.value.code == "launcher.overlay_too_large"
