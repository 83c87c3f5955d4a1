"""Does nothing start on a cluster, or on a node, that has not been proved to be closed a moment ago?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.layout import DOORS
from jupyter_sandbox_spawner.errors import IsolationError
from jupyter_sandbox_spawner.launcher import cluster_canary
from jupyter_sandbox_spawner.launcher.cluster_canary import ClusterCanary
from jupyter_sandbox_spawner.launcher.cluster_prober import ClusterProber
from jupyter_sandbox_spawner.rules.pod_canary import Targets

from .premises_desk import Desk, desk

API = "the cluster's API"


@asynccontextmanager
async def canary(
    directory: Path, closed: bool = True
) -> AsyncIterator[tuple[Desk, ClusterCanary, list[bool]]]:
    """A canary that proves only when it is asked, and what it told of limits of processes."""
    pids: list[bool] = []
    async with desk(directory) as (here, api):
        if closed:
            here.close()
        aims = Targets(api=("10.96.0.1", 443), names=["10.96.0.10"])
        prober = ClusterProber(here.site, here.host(api), 10_999, aims, pids.append)
        yield here, ClusterCanary(api, prober, ("runc",)), pids


async def refused(asking: Any) -> str:
    """The reason of a refusal."""
    with pytest.raises(IsolationError) as error:
        await asking
    assert error.value.code == "isolation.unproved"
    return error.value.message


@pytest.mark.proves("E21")
async def test_a_closed_cluster_is_proved_once(tmp_path: Path) -> None:
    """However many start at once, one probe answers them all; of it nothing is left."""
    async with canary(tmp_path) as (here, guard, pids):
        await asyncio.gather(*(guard.require("runc", {}) for _ in range(5)))
        assert len(here.probes) == 1
        assert guard.proofs["runc"].verdict.proved
        assert pids == [True]
        assert here.kind("pods") == {}
        assert set(here.kind("networkpolicies")) == {"closed"}


async def test_the_probe_is_a_sandbox(tmp_path: Path) -> None:
    """It has what closes a sandbox, no identity, no link, no home, and stands where sandboxes do."""
    async with canary(tmp_path) as (here, guard, _):
        overlay = {"spec": {"nodeSelector": {"pool": "users"}}, "metadata": {"labels": {"a": "b"}}}
        await guard.require("runc", overlay)
        (pod,) = here.probes
        spec = pod["spec"]
        assert spec["nodeSelector"] == {"pool": "users"}
        assert "a" not in pod["metadata"]["labels"]
        assert (spec["automountServiceAccountToken"], spec["hostUsers"]) == (False, False)
        (container,) = spec["containers"]
        assert (spec["initContainers"], "terminationMessagePath" in container) == ([], False)
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["runAsUser"] == 10_999
        assert [item["readOnly"] for item in container["volumeMounts"] if item["mountPath"] == DOORS] == [
            True
        ]
        assert not {"secret", "persistentVolumeClaim"} & {key for item in spec["volumes"] for key in item}


@pytest.mark.proves("E21")
async def test_an_open_cluster_starts_nothing(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """What a probe reached is the reason; a repaired cluster is believed after a while, and no sooner."""
    async with canary(tmp_path) as (here, guard, _):
        here.network = {API: "ok"}
        assert "it reached the cluster's API" in await refused(guard.require("runc", {}))
        assert "it reached" in await refused(guard.require("runc", {}))
        assert len(here.probes) == 1
        assert not guard.proofs["runc"].verdict.proved
        here.network = {}
        await guard.prove()
        await guard.require("runc", {})
        control("a closed one starts servers", guard.proofs["runc"].verdict.proved)


@pytest.mark.proves("E21")
async def test_a_policy_deleted_by_hand(tmp_path: Path) -> None:
    """The next look refuses at once, though the last proof is fresh; put back, everything is proved anew."""
    async with canary(tmp_path) as (here, guard, _):
        await guard.require("runc", {})
        policy = here.kind("networkpolicies").pop("closed")
        await guard._look()
        assert "no networkpolicy closes" in (await refused(guard.require("runc", {}))).lower()
        assert not guard.proofs["runc"].verdict.proved
        here.kind("networkpolicies")["closed"] = policy
        await guard.require("runc", {})
        assert len(here.probes) == 2


async def test_a_namespace_without_policies(tmp_path: Path) -> None:
    """Where nothing closes it no probe is needed to refuse."""
    async with canary(tmp_path, closed=False) as (here, guard, _):
        await refused(guard.require("runc", {}))
        assert here.probes == []


@pytest.mark.proves("E21")
async def test_a_node_is_proved_by_itself(tmp_path: Path, control: Callable[[str, bool], None]) -> None:
    """A sandbox on a node without proof waits for one; on an open node it is refused, on others it is not."""
    async with canary(tmp_path) as (here, guard, _):
        await guard.require("runc", {})
        for name, node in (("sb-one", "n1"), ("sb-two", "n2")):
            labels = {"jupyter-sandbox-spawner/sandbox": name}
            here.kind("pods")[name] = {"metadata": {"labels": labels}, "spec": {"nodeName": node}}
        await guard.require_at("sb-one")
        control("the node of the first probe is proved by it", len(here.probes) == 1)
        here.network = {API: "ok"}
        assert "That was on the node n2." in await refused(guard.require_at("sb-two"))
        await guard.require_at("sb-one")
        assert not guard.proofs["runc"].verdict.proved
        assert "Nobody knows" in await refused(guard.require_at("sb-gone"))


async def test_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is at work proofs are renewed, earlier probes are swept up, and nothing is left at its end."""
    monkeypatch.setattr(cluster_canary, "PERIOD", 0.05)
    async with canary(tmp_path) as (here, guard, _):
        async with guard.at_work():
            deadline = asyncio.get_running_loop().time() + 60
            while len(here.probes) < 3:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.05)
        assert len(here.probes) >= 3
        assert guard.proofs["runc"].verdict.proved


async def test_a_probe_that_cannot_run(tmp_path: Path) -> None:
    """A cluster that lets no pod be made proves nothing, and says why."""
    async with canary(tmp_path) as (here, guard, _):
        here.refuse["POST", "pods"] = (403, 'pods is forbidden: User "x" cannot create resource "pods"')
        assert "lacks a right" in await refused(guard.require("runc", {}))
        assert set(here.kind("networkpolicies")) == {"closed"}
