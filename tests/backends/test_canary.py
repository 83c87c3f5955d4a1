"""Does a real probe sandbox prove what is closed and notice what is open?"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.oci import host
from jupyter_sandbox_spawner.backends.oci.backend import OciBackend
from jupyter_sandbox_spawner.backends.oci.gvisor import Gvisor
from jupyter_sandbox_spawner.backends.oci.host import OciSite
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.launcher import canary_probe
from jupyter_sandbox_spawner.launcher.canary import Canary
from jupyter_sandbox_spawner.rules.canary import MUST_FAIL
from jupyter_sandbox_spawner.settings import Environment, Site
from jupyter_sandbox_spawner.singleuser import inside
from tests.backends.tiny import UID_BASE

pytestmark = pytest.mark.lane("hostuids", "runc")
Control = Callable[[str, bool], None]
BASE = UID_BASE + 50


@asynccontextmanager
async def opened(
    top: Path, further_runtimes: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Canary, OciBackend]]:
    """A launcher's canary on the real local backend, with this Python as the user image."""
    site = Site(
        run_dir=str(top),
        state_dir=str(top / "state"),
        profiles="",
        public_port=0,
        hub_port=0,
        proxy_api_port=0,
        front_port=0,
        environments={"own": Environment(prefix=sys.prefix)},
        further_runtimes=further_runtimes,
    )
    (top / "launcher").mkdir(exist_ok=True)
    (top / "state").mkdir(exist_ok=True)
    oci = OciSite(
        state=site.launcher_dir,
        inside=str(Path(inside.__file__).parent),
        environments=site.environments,
        root_uid=BASE,
        runtimes=site.runtimes,
    )
    async with OciBackend.opened(oci) as backend:
        yield Canary(site, backend, BASE + 1, lambda: ""), backend


@pytest.fixture
def top() -> Any:
    """A short directory that other uids can pass through, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="jsc", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.proves("E21")
async def test_a_closed_host_is_proved_and_nothing_is_left(top: Path, control: Control) -> None:
    """The probe finds every attempt refused, remembers that on disk, and leaves no sandbox or door."""
    async with opened(top) as (canary, backend):
        await canary.require("runc")
        control("the proof is from a probe of now", canary.proofs["runc"].verdict.proved)
        assert await backend.inventory() == ()
        assert not (top / "canary").exists()
    async with opened(top) as (again, _):
        assert again.proofs == canary.proofs


@pytest.mark.proves("E21")
async def test_an_open_host_starts_nothing(
    top: Path, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a seccomp filter that lets all calls pass, the probe gets through, and it is said what did."""
    async with opened(top) as (canary, _):
        await canary.require("runc")
    control("with the right filter it is proved", canary.proofs["runc"].verdict.proved)
    shutil.rmtree(top / "launcher")
    monkeypatch.setattr(host, "load_seccomp", lambda: {"defaultAction": "SCMP_ACT_ALLOW"})
    async with opened(top) as (open_canary, _):
        with pytest.raises(IsolationError) as refused:
            await open_canary.require("runc")
    assert refused.value.code == "isolation.unproved"
    assert MUST_FAIL["user namespace"] in refused.value.message
    assert MUST_FAIL["io_uring"] in refused.value.message


async def test_many_starts_wait_for_one_probe(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many servers are asked for at once, a single probe runs."""
    probes: list[None] = []
    async with opened(top) as (canary, _):
        probe = canary._probe

        async def counted(runtime: str) -> Any:
            probes.append(None)
            return await probe(runtime)

        monkeypatch.setattr(canary, "_probe", counted)
        await asyncio.gather(*(canary.require("runc") for _ in range(10)))
    assert len(probes) == 1


async def test_another_runtime_is_proved_anew(top: Path) -> None:
    """When what a proof was made of has changed, the next start asks again."""
    changing = ["one"]
    async with opened(top) as (canary, _):
        canary._surroundings = lambda: changing[0]
        await canary.require("runc")
        first = canary.proofs["runc"]
        await canary.require("runc")
        assert canary.proofs["runc"] is first
        changing[0] = "two"
        await canary.require("runc")
    assert canary.proofs["runc"].key != first.key


async def test_a_probe_that_cannot_run_proves_nothing(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the probe ends without its line there is no proof, and its last words are told."""
    monkeypatch.setattr(canary_probe, "__file__", os.fspath(top / "broken.py"))
    (top / "broken.py").write_text("raise SystemExit('no such thing')")
    async with opened(top) as (canary, _):
        with pytest.raises(IsolationError, match="no such thing"):
            await canary.require("runc")


@pytest.mark.lane("runsc", "cgroup")
@pytest.mark.proves("E21")
async def test_each_runtime_is_proved_by_itself(top: Path, control: Control) -> None:
    """A probe under each runtime of the site; one that this host lacks starts nothing, the others do."""
    async with opened(top, ("runsc", "no-such-runtime")) as (canary, backend):
        await canary.prove()
        proved = {name: proof.verdict.proved for name, proof in canary.proofs.items()}
        control("runc and gVisor are closed", proved.pop("runc") and proved.pop("runsc"))
        assert proved == {"no-such-runtime": False}
        with pytest.raises(IsolationError, match="apt-get install no-such-runtime") as refused:
            await canary.require("no-such-runtime")
        await canary.require("runsc")
        assert await backend.inventory() == ()
    assert refused.value.code == "isolation.unproved"


@pytest.mark.lane("runsc", "cgroup")
@pytest.mark.proves("E21")
async def test_an_open_runtime_closes_only_itself(
    top: Path, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the filter is not in force under one runtime, nothing starts under that one."""
    async with opened(top, ("runsc",)) as (canary, _):
        await canary.require("runsc")
    control("with the right filter it is proved", canary.proofs["runsc"].verdict.proved)
    shutil.rmtree(top / "launcher")
    monkeypatch.setattr(Gvisor, "filter", lambda _self, _profile: {"defaultAction": "SCMP_ACT_ALLOW"})
    async with opened(top, ("runsc",)) as (open_canary, _):
        await open_canary.require("runc")
        with pytest.raises(IsolationError, match=MUST_FAIL["user namespace"]) as refused:
            await open_canary.require("runsc")
    assert refused.value.code == "isolation.unproved"
