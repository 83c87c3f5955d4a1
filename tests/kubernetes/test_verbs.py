"""What do the backend's verbs do when the cluster is slow, away, full, or changes what it was given?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.errors import BackendError, IsolationError
from tests.backends.kubernetes_facts import SPEC

from .stage import DOORS, Stage


async def test_what_is_made_and_what_is_left(stage: Stage) -> None:
    """A sandbox is a Secret that owns a policy and a pod; after its removal none of them is there."""
    spec = await stage.running()
    secret = stage.cluster.kind("secrets")[spec.id]
    for kind in ("pods", "networkpolicies"):
        (owner,) = stage.cluster.kind(kind)[spec.id]["metadata"]["ownerReferences"]
        assert owner["uid"] == secret["metadata"]["uid"]
    status = await stage.backend.status(spec.id)
    assert status is not None
    assert (status.value, status.address) == ("running", "10.9.8.7")
    await stage.backend.remove(spec.id)
    assert [things for things in stage.cluster.objects.values() if things] == []


@pytest.mark.proves("C03", "T15")
async def test_the_ticket_is_in_the_secret_alone(stage: Stage) -> None:
    """Record, pod, policy and inventory do not have it; a new launcher lists records without reading it."""
    spec = await stage.running()
    secret = stage.cluster.kind("secrets")[spec.id]
    shown = [stage.cluster.kind("pods"), stage.cluster.kind("networkpolicies"), secret["metadata"]]
    assert DOORS.ticket not in json.dumps(shown)
    assert DOORS.ticket not in repr(await stage.backend.inventory())
    assert "ticket" in secret["data"]


async def test_a_new_launcher_knows_everything(stage: Stage) -> None:
    """Created, running and over are known again from the cluster alone, and the same request again."""
    spec = await stage.running()
    other = replace(spec, id="sb-" + "b" * 20)
    over = replace(spec, id="sb-" + "c" * 20)
    for one in (other, over):
        await stage.backend.create(one, DOORS, {})
    await stage.backend.stop(over.id, 1)
    async with KubernetesBackend.opened(stage.site) as again:
        found = {item.id: item.status.value for item in await again.inventory()}
        assert found == {spec.id: "running", other.id: "pending", over.id: "stopped"}
        await again.create(spec, DOORS, {})
        with pytest.raises(BackendError) as refused:
            await again.create(other, replace(DOORS, ticket="another"), {})
        assert refused.value.code == "sandbox.id_taken"
        await again.start(other.id)
        assert (await again.stop(spec.id, 1)).exit_code == 143


async def test_an_end_while_no_launcher_looked(stage: Stage) -> None:
    """The exit status of a sandbox that ended meanwhile is told by its pod."""
    spec = await stage.running()
    await stage.cluster.finish(spec.id, 7)
    async with KubernetesBackend.opened(stage.site) as again:
        status = await again.status(spec.id)
        assert status is not None
        assert (status.value, status.exit_code) == ("stopped", 7)


@pytest.mark.parametrize(
    ("code", "more", "words"),
    [
        (137, {"reason": "OOMKilled"}, "out of memory"),
        (3, {}, "exit status 3"),
        (137, {"status": {"reason": "Evicted", "message": "low on memory"}}, "ran short of something"),
        (137, {"status": {"reason": "NodeLost"}}, "its machine was lost"),
    ],
)
async def test_why_it_ended(stage: Stage, code: int, more: dict[str, Any], words: str) -> None:
    """Out of memory, evicted, lost: the reason is told with the end, at once."""
    spec = await stage.running()
    await stage.cluster.finish(spec.id, code, more.get("reason", "Error"), **more.get("status", {}))
    status = await stage.backend.ended(spec.id, 10)
    assert status is not None
    assert words in status.reason
    (event,) = [item for item in await stage.backend.events(0, 1) if item.kind == "sandbox.stopped"]
    assert words in str(event.detail["reason"])


async def test_removed_by_somebody_else(stage: Stage) -> None:
    """A pod that somebody deletes is an end; so is the Secret's, which takes the pod with it."""
    spec = await stage.running()
    await stage.cluster.drop("secrets", spec.id)
    status = await stage.backend.ended(spec.id, 10)
    assert status is not None
    assert (status.value, status.exit_code, status.reason) == (
        "stopped",
        None,
        "Its pod was removed by somebody else.",
    )
    await stage.backend.remove(spec.id)


async def test_a_pod_that_waits_is_explained_and_can_be_stopped(stage: Stage) -> None:
    """While no node fits, the user is told why; a stop needs no end of the start."""
    stage.cluster.runs = False
    spec = await stage.created()
    starting = asyncio.create_task(stage.backend.start(spec.id))
    await stage.until(lambda: spec.id in stage.cluster.kind("pods"))
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "message": message}
    await stage.cluster.set_status(spec.id, conditions=[condition])
    await stage.until(lambda: bool(stage.backend._sandboxes[spec.id].record.reason))
    assert await stage.status() == ("pending", "All fitting GPUs are in use, or no machine has one.")
    stopping = asyncio.create_task(stage.backend.stop(spec.id, 1))
    with pytest.raises(BackendError, match="was stopped while it started"):
        await starting
    await stage.cluster.drop("pods", spec.id)
    assert (await stopping).reason == "stopped on request"


async def test_what_waiting_cannot_mend_fails(stage: Stage) -> None:
    """An image that is nowhere ends the start with its code, and its pod is gone."""
    stage.cluster.runs = False
    spec = await stage.created()
    starting = asyncio.create_task(stage.backend.start(spec.id))
    await stage.until(lambda: spec.id in stage.cluster.kind("pods"))
    waiting = {
        "waiting": {"reason": "ErrImageNeverPull", "message": "is not present with pull policy of Never"}
    }
    statuses = [{"name": "sandbox", "image": "registry.example/a:1", "state": waiting}]
    stage.cluster.runs = True
    await stage.cluster.set_status(spec.id, containerStatuses=statuses)
    with pytest.raises(BackendError) as failed:
        await starting
    assert failed.value.code == "kubernetes.image_missing"
    assert "registry.example" not in failed.value.message
    assert stage.cluster.kind("pods") == {}
    assert (await stage.status())[0] == "failed"


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (403, 'pods "x" is forbidden: exceeded quota: users, requested: pods=1', "kubernetes.quota"),
        (403, 'User "x" cannot create resource "pods"', "kubernetes.rbac"),
        (403, 'pod rejected: RuntimeClass "gvisor" not found', "kubernetes.runtime_class"),
        (401, "Unauthorized", "kubernetes.login"),
        (422, "Pod is invalid", "kubernetes.invalid"),
        (500, "etcdserver: request timed out", "kubernetes.busy"),
    ],
)
async def test_the_api_refuses_a_pod(stage: Stage, status: int, message: str, code: str) -> None:
    """Each refusal has its own code and a sentence without the cluster's words; the sandbox has failed."""
    spec = await stage.created()
    stage.cluster.refuse["POST", "pods"] = (status, message)
    with pytest.raises(BackendError) as refused:
        await stage.backend.start(spec.id)
    assert refused.value.code == code
    assert message not in str(refused.value)
    assert (await stage.status())[0] == "failed"
    await stage.backend.remove(spec.id)
    assert stage.cluster.kind("secrets") == {}


@pytest.mark.proves("I14")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            lambda pod: pod["spec"]["containers"].append({"name": "mesh", "image": "x"}),
            "isolation.containers",
        ),
        (lambda pod: pod["spec"].pop("hostUsers"), "isolation.namespace_missing"),
        (lambda pod: pod["spec"].update(serviceAccountName="admin"), "isolation.service_account"),
    ],
)
async def test_what_the_cluster_made_of_it_is_judged(
    stage: Stage, change: Callable[[dict[str, Any]], None], code: str, control: Callable[[str, bool], None]
) -> None:
    """A pod that an admission controller, or a cluster too old for a field, has opened does not stay."""
    spec = await stage.created()
    control("what the cluster leaves as it was is started", True)
    stage.cluster.admit = change
    with pytest.raises(IsolationError) as refused:
        await stage.backend.start(spec.id)
    assert refused.value.code == code
    assert stage.cluster.kind("pods") == {}


async def test_an_overlay_that_opens_makes_nothing(stage: Stage) -> None:
    """It is refused before there is anything in the cluster."""
    with pytest.raises(IsolationError):
        await stage.backend.create(SPEC, DOORS, {"spec": {"hostNetwork": True}})
    assert not any(stage.cluster.objects.values())
    assert await stage.backend.inventory() == ()


async def test_a_foreign_object_is_left_alone(stage: Stage) -> None:
    """An object of the sandbox's name with other labels is neither used nor removed."""
    foreign = {"metadata": {"name": SPEC.id, "uid": "theirs", "labels": {}}}
    stage.cluster.kind("secrets")[SPEC.id] = foreign
    with pytest.raises(BackendError) as refused:
        await stage.backend.create(SPEC, DOORS, {})
    assert refused.value.code == "kubernetes.foreign"
    assert stage.cluster.kind("secrets")[SPEC.id] is foreign


async def test_a_node_that_does_not_answer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop whose end nobody tells is no stop: it says so, and the sandbox stays in the inventory."""
    monkeypatch.setattr("jupyter_sandbox_spawner.backends.kubernetes.sandbox._KILL_TIME", 0.5)
    spec = await stage.running()
    stage.cluster.runs = False
    with pytest.raises(BackendError) as survived:
        await stage.backend.stop(spec.id, 0)
    assert survived.value.code == "sandbox.survived"
    assert (await stage.status())[0] == "stopping"
    await stage.cluster.drop("pods", spec.id)
    assert (await stage.backend.stop(spec.id, 0)).reason == "stopped on request"


async def test_an_api_that_was_away(stage: Stage) -> None:
    """While it is away nothing starts and no sandbox ends; what happened is seen afterwards."""
    spec = await stage.running()
    stage.cluster.refuse["*", "*"] = (503, "etcd is away")
    await stage.cluster.drop_watches()
    away = stage.backend
    await stage.until(lambda: away._host.capabilities.runtimes == {})
    with pytest.raises(IsolationError) as refused:
        await stage.backend.create(replace(SPEC, id="sb-" + "b" * 20), DOORS, {})
    assert refused.value.code == "isolation.unavailable"
    assert (await stage.status())[0] == "running"
    stage.cluster.kind("pods").clear()
    stage.cluster.refuse.clear()
    status = await stage.backend.ended(spec.id, 15)
    assert status is not None
    assert status.reason == "Its pod was removed by somebody else."
    assert (await stage.backend.capabilities()).runtimes


async def test_a_watch_that_is_too_old(stage: Stage) -> None:
    """Where the cluster has forgotten what happened, everything is listed anew and nothing is missed."""
    spec = await stage.running()
    stage.cluster.forgets = 1
    await stage.cluster.drop_watches()
    await stage.cluster.finish(spec.id, 5)
    status = await stage.backend.ended(spec.id, 10)
    assert status is not None
    assert status.exit_code == 5


async def test_nobody_asks_again_and_again(stage: Stage) -> None:
    """A sandbox that only runs costs the cluster no question: one watch tells everything."""
    spec = await stage.running()
    before = len(stage.cluster.asked)
    for _ in range(50):
        await stage.backend.status(spec.id)
    await stage.backend.inventory()
    assert await stage.backend.ended(spec.id, 1.2) is None
    assert len(stage.cluster.asked) == before


async def test_what_a_start_asks(stage: Stage) -> None:
    """Record, policy, announcement, pod, judgement: nothing that is known is asked for."""
    before = len(stage.cluster.asked)
    await stage.running()
    asked = stage.cluster.asked[before:]
    assert asked == ["POST secrets", "POST networkpolicies", "PATCH secrets", "POST pods", "PATCH secrets"]


async def test_an_address_is_news(stage: Stage) -> None:
    """Whoever follows a sandbox hears of its pod's address before it runs."""
    stage.cluster.runs = False
    spec = await stage.created()
    starting = asyncio.create_task(stage.backend.start(spec.id))
    await stage.until(lambda: spec.id in stage.cluster.kind("pods"))
    (created,) = await stage.backend.events(0, 1)
    await stage.cluster.set_status(spec.id, podIP="10.9.8.7")
    (news,) = await stage.backend.events(created.seq, 10)
    assert news.kind == "sandbox.pending"
    found = await stage.backend.status(spec.id)
    assert found is not None
    assert (found.value, found.address) == ("pending", "10.9.8.7")
    await stage.cluster.run(spec.id)
    await starting


async def test_leftovers(stage: Stage) -> None:
    """What has our labels and no record is found by kind; a policy stays while its pod is there."""
    spec = await stage.running()
    async with KubernetesBackend.opened(stage.site) as other:
        for kind in ("pods", "networkpolicies", "secrets"):
            thing = json.loads(
                json.dumps(stage.cluster.kind(kind)[spec.id]).replace(spec.id, "sb-" + "d" * 20)
            )
            del thing["metadata"]["ownerReferences" if kind != "secrets" else "uid"]
            stage.cluster.kind(kind)["sb-" + "d" * 20] = {
                **thing,
                "metadata": {**thing["metadata"], "uid": kind},
            }
        found = await other.leftovers()
        assert sorted(item.kind for item in found) == ["network_policy", "pod", "secret"]
        assert {item.sandbox for item in found} == {"sb-" + "d" * 20}
        with pytest.raises(BackendError) as first:
            await other.clear("network_policy", "sb-" + "d" * 20)
        assert first.value.code == "kubernetes.pod_first"
        for kind in ("pod", "network_policy", "secret"):
            assert await other.clear(kind, "sb-" + "d" * 20)  # type: ignore[arg-type]
        assert await other.leftovers() == ()
        assert not await other.clear("pod", spec.id)
    assert spec.id in stage.cluster.kind("pods")


async def test_usage_and_log(stage: Stage) -> None:
    """Memory is what the metrics API says, and everything is None where there is none; the log is cut."""
    spec = await stage.running()
    assert (await stage.backend.usage(spec.id)).memory is None
    stage.cluster.memory[spec.id] = "12Mi"
    stage.backend._meter._read_at = -100.0
    usage = await stage.backend.usage(spec.id)
    assert (usage.memory, usage.cpu_seconds, usage.pids) == (12 << 20, None, None)
    stage.cluster.logs[spec.id] = b"x" * 100_000 + b"the end"
    tail = await stage.backend.log_tail(spec.id)
    assert (len(tail), tail[-7:]) == (64 << 10, "the end")


async def test_capabilities(stage: Stage) -> None:
    """What was verified: the version, runtimes with a class; the number of processes only after a proof."""
    found = await stage.backend.capabilities()
    assert (found.backend, found.level, found.limits["pids"]) == ("kubernetes", "soft", False)
    assert set(found.runtimes) == {"runc"}
    assert "RuntimeClass" in found.refused["runsc"]
    stage.backend.proved(pids=True)
    proved = await stage.backend.capabilities()
    assert (proved.level, proved.missing) == ("hard", ())


@pytest.mark.parametrize("minor", ["28", "32+"])
async def test_an_old_cluster(stage: Stage, minor: str) -> None:
    """A cluster without sidecars, or without users of pods where they are demanded, starts nothing."""
    stage.cluster.minor = minor
    async with KubernetesBackend.opened(stage.site) as old:
        with pytest.raises(IsolationError) as refused:
            await old.create(SPEC, DOORS, {})
    assert refused.value.code == "isolation.unavailable"
