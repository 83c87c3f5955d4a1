"""What becomes of a start whose launcher went away in the middle? Nothing runs that nobody has judged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.layout import RECORD
from jupyter_sandbox_spawner.backends.kubernetes.render import render_pod
from jupyter_sandbox_spawner.backends.kubernetes.sandbox import PodSandbox
from jupyter_sandbox_spawner.errors import BackendError, IsolationError
from tests.backends.kubernetes_facts import SPEC

from .stage import DOORS, Stage


def record_of(stage: Stage) -> dict[str, Any]:
    """What the next launcher would read."""
    found: dict[str, Any] = json.loads(
        stage.cluster.kind("secrets")[SPEC.id]["metadata"]["annotations"][RECORD]
    )
    return found


def interrupt(stage: Stage) -> None:
    """As if the launcher had been killed between the pod's making and its judgement."""
    secret = stage.cluster.kind("secrets")[SPEC.id]["metadata"]["annotations"]
    secret[RECORD] = json.dumps({**record_of(stage), "container": ""})


def announced(stage: Stage) -> PodSandbox:
    """The sandbox as the next launcher knows it then."""
    sandbox = stage.backend._sandboxes[SPEC.id]
    sandbox.record = replace(sandbox.record, phase="starting", container="", started_at=None)
    sandbox.uid = ""
    return sandbox


async def test_a_start_is_announced(stage: Stage) -> None:
    """The record says that it starts before there is a pod, and which pod was judged afterwards."""
    spec = await stage.created()
    stage.cluster.refuse["POST", "pods"] = (500, "etcd is away")
    seen: list[str] = []
    stage.cluster.admit = lambda pod: seen.append(record_of(stage)["phase"])
    stage.cluster.refuse.clear()
    await stage.backend.start(spec.id)
    assert seen == ["starting"]
    assert record_of(stage)["container"] == stage.cluster.kind("pods")[spec.id]["metadata"]["uid"]
    assert DOORS.ticket not in json.dumps(record_of(stage))


async def test_a_pod_that_went_while_no_launcher_looked(stage: Stage) -> None:
    """It has ended, its end is told, and a second start makes no second pod."""
    spec = await stage.running()
    await stage.backend._host.api.close()
    stage.cluster.kind("pods").clear()
    async with KubernetesBackend.opened(stage.site) as again:
        status = await again.ended(spec.id, 5)
        assert status is not None
        assert (status.value, status.reason) == ("stopped", "Its pod was removed by somebody else.")
        with pytest.raises(BackendError) as refused:
            await again.start(spec.id)
        assert refused.value.code == "sandbox.over"
    assert stage.cluster.kind("pods") == {}


async def test_a_start_that_got_no_pod(stage: Stage) -> None:
    """Announced, and then its launcher died: who asks the next launcher for it again gets it."""
    spec = await stage.running()
    interrupt(stage)
    stage.cluster.kind("pods").clear()
    async with KubernetesBackend.opened(stage.site) as again:
        await stage.until(lambda: record_of(stage)["phase"] == "created")
        await again.start(spec.id)
        assert record_of(stage)["container"] == stage.cluster.kind("pods")[spec.id]["metadata"]["uid"]


async def test_a_start_that_is_asked_for_before_anybody_looked(stage: Stage) -> None:
    """Announced by a launcher that died, and not looked at since: it gets its pod all the same."""
    spec = await stage.running()
    stage.cluster.kind("pods").clear()
    announced(stage)
    await stage.backend.start(spec.id)
    assert record_of(stage)["container"] == stage.cluster.kind("pods")[spec.id]["metadata"]["uid"]
    assert (await stage.status())[0] == "running"


@pytest.mark.proves("I14")
async def test_a_start_that_got_no_pod_and_a_cluster_that_is_not_proved(
    stage: Stage, control: Callable[[str, bool], None]
) -> None:
    """What was announced is no leave: where nothing may start, it gets no pod."""
    spec = await stage.running()
    control("where the cluster answers it runs", bool(stage.cluster.kind("pods")))
    stage.cluster.kind("pods").clear()
    announced(stage)
    stage.backend._host.lost(BackendError("away", code="kubernetes.unreachable"))
    with pytest.raises(IsolationError) as refused:
        await stage.backend.start(spec.id)
    assert refused.value.code == "isolation.unavailable"
    assert stage.cluster.kind("pods") == {}


async def test_a_pod_that_went_while_its_policy_was_put_right(stage: Stage) -> None:
    """A new launcher moves all policies just when it looks at all pods: it sees its end all the same."""
    spec = await stage.running()
    stage.cluster.kind("pods").clear()
    stage.cluster.forgets = 2  # so that both who watch look at everything anew
    async with stage.backend._sandboxes[spec.id].lock:
        await stage.cluster.drop_watches()
        status = await stage.backend.ended(spec.id, 5)
    assert status is not None
    assert status.reason == "Its pod was removed by somebody else."


async def test_a_pod_is_judged_while_its_policy_is_put_right(stage: Stage) -> None:
    """That of an interrupted start is found, judged and runs; nobody has to wait for its next event."""
    spec = await stage.running()
    sandbox = announced(stage)
    stage.cluster.forgets = 2  # so that both who watch look at everything anew
    async with sandbox.lock:
        await stage.cluster.drop_watches()
        await stage.until(lambda: sandbox.record.phase == "running")
    assert sandbox.record.container == stage.cluster.kind("pods")[spec.id]["metadata"]["uid"]


@pytest.mark.proves("I14")
async def test_a_pod_that_comes_true_after_its_launcher_died(
    stage: Stage, control: Callable[[str, bool], None]
) -> None:
    """The next launcher, which found none at first, judges it: as it was asked for it runs, else it goes."""
    spec = await stage.running()
    pods = stage.cluster.kind("pods")
    for opened in (False, True):
        interrupt(stage)
        pods.clear()
        async with KubernetesBackend.opened(stage.site) as again:
            await stage.until(lambda: record_of(stage)["phase"] == "created")
            pod = render_pod(spec, again._host.place(spec))
            pod["spec"]["hostNetwork"] = opened
            made = await again._host.api.create("pods", pod)
            if opened:
                await stage.until(lambda: not pods)
            else:
                uid = made["metadata"]["uid"]
                await stage.until(lambda uid=uid: record_of(stage)["container"] == uid)
            status = await again.status(spec.id)
            assert status is not None
            if opened:
                assert (status.value, "hostNetwork" in status.reason) == ("failed", True)
            else:
                control("one that is as it was asked for runs", status.value == "running")


@pytest.mark.proves("I14")
async def test_a_pod_that_nobody_judged(stage: Stage, control: Callable[[str, bool], None]) -> None:
    """The next launcher judges it: one that was opened on its way in does not stay, and never counts."""
    spec = await stage.running()
    interrupt(stage)
    async with KubernetesBackend.opened(stage.site) as again:
        status = await again.status(spec.id)
        control("one that is as it was asked for goes on", status is not None and status.value == "running")
    pod = stage.cluster.kind("pods")[spec.id]
    assert record_of(stage)["container"] == pod["metadata"]["uid"]
    interrupt(stage)
    pod["spec"]["containers"].append({"name": "mesh", "image": "x"})
    async with KubernetesBackend.opened(stage.site) as again:
        status = await again.status(spec.id)
        assert status is not None
        assert status.value == "failed"
        assert "spec.containers" in status.reason
        await stage.until(lambda: not stage.cluster.kind("pods"))


async def test_an_answer_that_was_lost(stage: Stage) -> None:
    """The pod of an earlier try is found again, though a node has it by now."""
    spec = await stage.created()
    create = stage.backend._host.api.create

    async def forgetful(kind: Any, manifest: Any) -> Any:
        made = await create(kind, manifest)
        if kind == "pods":
            stage.cluster.kind("pods")[spec.id]["spec"]["nodeName"] = "n1"
            return await create(kind, manifest)
        return made

    stage.backend._host.api.create = forgetful  # type: ignore[method-assign]
    await stage.backend.start(spec.id)
    assert (await stage.status())[0] == "running"


@pytest.mark.proves("E21")
async def test_a_policy_that_was_there(stage: Stage, control: Callable[[str, bool], None]) -> None:
    """A policy of the sandbox's name and labels that closes less is made anew before there is a pod."""
    spec = await stage.created()
    policies = stage.cluster.kind("networkpolicies")
    asked = policies[spec.id]["spec"]
    mine = policies[spec.id]["metadata"]["uid"]
    await stage.backend._sandboxes[spec.id].make()
    control("one that closes as much stays", policies[spec.id]["metadata"]["uid"] == mine)
    policies[spec.id]["spec"] = {**asked, "egress": [{}]}
    await stage.backend._sandboxes[spec.id].make()
    assert policies[spec.id]["spec"] == asked


async def test_a_record_that_went_meanwhile(stage: Stage) -> None:
    """Where the Secret is gone between two steps, that is said; nothing is made without an owner."""
    spec = await stage.created()
    api = stage.backend._host.api

    async def gone(*_: Any) -> None:
        return None

    api.patch = gone  # type: ignore[method-assign,assignment]
    with pytest.raises(BackendError) as failed:
        await stage.backend._sandboxes[spec.id].make()
    assert failed.value.code == "sandbox.start_failed"


async def test_a_cluster_that_forgets_each_time(stage: Stage) -> None:
    """One that answers "too old" to every watch is asked with growing pauses, not in a tight loop."""
    await stage.until(lambda: stage.cluster.asked.count("GET pods") > 1)
    stage.cluster.forgets = 1000
    before = stage.cluster.asked.count("GET version")
    await stage.cluster.drop_watches()
    await stage.until(lambda: stage.cluster.asked.count("GET version") > before)
    assert await stage.backend.events(1 << 60, 1.5) == ()
    assert stage.cluster.asked.count("GET version") - before <= 6


async def test_many_lost_launchers(stage: Stage) -> None:
    """However often launchers come and go, a running sandbox is running and is judged once."""
    spec = await stage.running()
    for _ in range(3):
        async with KubernetesBackend.opened(stage.site) as again:
            found = await asyncio.gather(*(again.status(spec.id) for _ in range(3)))
            assert {status.value for status in found if status} == {"running"}


async def test_a_pod_that_comes_true_after_its_start_was_given_up_ends(stage: Stage) -> None:
    """Nobody asks for it any more: it is ended as soon as it is told of, not at the next launcher's start."""
    spec = await stage.created()
    await stage.backend.stop(spec.id, 0)
    host = stage.backend._host
    await host.api.create("pods", render_pod(spec, host.place(spec)))
    await stage.until(lambda: not stage.cluster.kind("pods"))
    assert (await stage.status())[0] == "stopped"


async def test_a_pod_whose_link_gave_up(stage: Stage) -> None:
    """What runs in it waits for a gateway that nobody trusts: the start has failed, for that reason."""
    spec = await stage.running()
    why = {"terminated": {"exitCode": 4, "message": "certificates.clock: it is not yet valid"}}
    again = {"waiting": {"reason": "CrashLoopBackOff"}}
    link = [{"name": "link", "state": again, "lastState": why}]
    await stage.cluster.set_status(spec.id, initContainerStatuses=link)
    status = await stage.backend.ended(spec.id, 20)
    assert status is not None
    assert (status.value, "because the clocks of its machines differ" in status.reason) == ("failed", True)
    await stage.until(lambda: not stage.cluster.kind("pods"))


async def test_a_boot_that_found_nobody_at_its_door(stage: Stage) -> None:
    """It ended with its link, which runs again when the cluster tells of both: the link has the reason."""
    spec = await stage.running()
    why = {"terminated": {"exitCode": 4, "message": "certificates.expired: it has ended"}}
    link = [{"name": "link", "state": {"running": {}}, "lastState": why}]
    await stage.cluster.finish(spec.id, 91, initContainerStatuses=link)
    status = await stage.backend.ended(spec.id, 20)
    assert status is not None
    assert (status.value, "a certificate of theirs has expired" in status.reason) == ("failed", True)


async def test_a_pod_whose_link_gave_up_once(stage: Stage) -> None:
    """Its clock was put right and it was started again: its server goes on, also for a new launcher."""
    spec = await stage.running()
    why = {"terminated": {"exitCode": 4, "message": "certificates.clock: it is not yet valid"}}
    link = [{"name": "link", "state": {"running": {}}, "lastState": why}]
    await stage.cluster.set_status(spec.id, initContainerStatuses=link, podIP="10.9.8.8")
    sandbox = stage.backend._sandboxes[spec.id]
    await stage.until(lambda: sandbox.record.address == "10.9.8.8" or bool(sandbox.record.failed))
    assert (await stage.status())[0] == "running"
    async with KubernetesBackend.opened(stage.site) as again:
        status = await again.status(spec.id)
        assert status is not None
        assert status.value == "running"
