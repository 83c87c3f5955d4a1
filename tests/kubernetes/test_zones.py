"""Does what is copied in a zone's pod stay in the zone? Attack D01, as claims and mounts decide it."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from jupyter_sandbox_spawner.backends.kubernetes.api import Cluster as Api
from jupyter_sandbox_spawner.launcher.claims import ClaimedHomes
from jupyter_sandbox_spawner.models import Mount, UserPlace
from tests.backends.tiny import UID_BASE

from .bench import PodBench

Control = Callable[[str, bool], None]
# Programs hold the marker backwards, so that they do not find themselves.
COPY = """
import json, os
marker, made = "MARKER"[::-1], []
for top, directories, _ in os.walk("/"):
    directories[:] = [name for name in directories if (top, name) not in (("/", "proc"), ("/", "sys"))]
    try:
        with open(os.path.join(top, "copy.txt"), "w") as file:
            file.write(marker)
    except OSError:
        continue
    made.append(top)
print(json.dumps(made))
"""
SEARCH = """
import json, os
marker, found = "MARKER"[::-1].encode(), []
for top, directories, names in os.walk("/"):
    directories[:] = [name for name in directories if (top, name) not in (("/", "proc"), ("/", "sys"))]
    for path in (os.path.join(top, name) for name in names):
        if os.path.isfile(path) and os.access(path, os.R_OK):
            with open(path, "rb") as file:
                if marker in file.read():
                    found.append(path)
print(json.dumps(found))
"""


class Zones:
    """Homes that are claims of their own, as the launcher gives them; programs run in pods that mount one."""

    def __init__(self, pods: PodBench, users: ClaimedHomes) -> None:
        self.users = users
        self._pods = pods

    async def told(self, place: UserPlace, program: str, marker: str) -> list[str]:
        """What the program prints in a pod with this home."""
        pods = self._pods
        spec = pods.spec(main=program.replace("MARKER", marker[::-1]), host_uid=place.host_uid)
        volume = await asyncio.to_thread(self._volume, place.home)
        await asyncio.to_thread(shutil.copy2, pods.directory / f"home-{spec.id}/main.py", volume / "main.py")
        home = Mount(kind="home", source=place.home, target="/home/jovyan", read_only=False)
        spec = await pods.create(replace(spec, mounts=(home,)))
        await pods.backend.start(spec.id)
        status = await pods.backend.ended(spec.id, 60)
        said = await pods.backend.log_tail(spec.id)
        assert status is not None, said
        assert status.exit_code == 0, (status, said)
        await pods.backend.remove(spec.id)
        return [str(name) for name in json.loads(said)]

    def _volume(self, claim: str) -> Path:
        """Where this machine has what is in a claim; its files may be read by all pods that mount it."""
        pods = self._pods
        path = f"/api/v1/namespaces/{pods.namespace}/persistentvolumeclaims/{claim}"
        ask = pods.cluster.api.ask
        pods.cluster.until(lambda: ask("GET", path)["status"].get("phase") == "Bound")
        name = ask("GET", path)["spec"]["volumeName"]
        place = Path(ask("GET", f"/api/v1/persistentvolumes/{name}")["spec"]["local"]["path"])
        (place / "main.py").unlink(missing_ok=True)
        return place


@pytest_asyncio.fixture
async def zones(pods: PodBench) -> AsyncIterator[Zones]:
    """A namespace's homes."""
    api = Api(pods.namespace, str(pods.cluster.kubeconfig))
    await api.open()
    try:
        known = replace(pods.cluster_site.cluster, home_size=8 << 20)
        yield Zones(pods, ClaimedHomes(api, known, UID_BASE, 1000))
    finally:
        await api.close()


@pytest.mark.proves("D01")
async def test_guarded_data_stays_in_its_zone(zones: Zones, control: Control) -> None:
    """Copied to every directory that can be written, it is found again in its own home and nowhere else."""
    guarded, ordinary = (secrets.token_hex(16) for _ in range(2))
    zone, home = await zones.users.place("alice", "phi"), await zones.users.place("alice")
    assert zone.host_uid == home.host_uid
    copied = await zones.told(zone, COPY, guarded)
    control("home and /tmp are written in the zone", {"/home/jovyan", "/tmp"} <= {*copied})
    assert await zones.told(home, SEARCH, guarded) == []
    control(
        "it is kept in the zone's home",
        await zones.told(zone, SEARCH, guarded) == ["/home/jovyan/copy.txt"],
    )
    await zones.told(home, COPY, ordinary)
    control(
        "the same in the ordinary home is found",
        await zones.told(home, SEARCH, ordinary) == ["/home/jovyan/copy.txt"],
    )
    assert await zones.told(zone, SEARCH, ordinary) == []
