"""Is a real pod held to its share, and does its neighbour notice nothing? Attacks Q01 and Q04 to Q08."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from hub_config.kubernetes.cluster.layout import POD_PIDS
from jupyter_sandbox_spawner.models import SandboxSpec
from tests.backends.test_oci_limits import INOTIFY
from tests.backends.test_oci_limits import PIPES as LOCAL_PIPES
from tests.backends.tiny import UID_BASE

from .bench import PodBench

Control = Callable[[str, bool], None]
# Until it is told to end, which a first process hears only when it has said so.
HOLD = "import os, signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); signal.pause()"


PIPES = LOCAL_PIPES.replace('"librt.so.1"', "None")  # which the image has not: its C library has it all


async def greedy(pods: PodBench, body: str, **more: float) -> SandboxSpec:
    """A sandbox that takes all it gets, and keeps it."""
    spec = pods.spec(main=body)
    spec = await pods.create(replace(spec, resources=replace(spec.resources, **more)))
    await pods.backend.start(spec.id)
    await pods.said(spec, "}")
    return spec


@pytest.mark.proves("Q01")
async def test_fork_bomb(pods: PodBench, control: Control) -> None:
    """Processes end at the kubelet's number for a pod; a neighbour can still be started, and make its own."""
    body = """
import json, os, signal, sys
made, met = 0, 0
try:
    for _ in range(LIMIT):
        if os.fork() == 0:
            signal.pause(); os._exit(0)
        made += 1
except OSError as error:
    met = error.errno
print(json.dumps({"made": made, "errno": met}), flush=True)
HOLD
"""
    many = body.replace("LIMIT", str(2 * POD_PIDS)).replace("HOLD", HOLD)
    bomb = await greedy(pods, many, cpu=1.0, memory=1 << 30)  # so that processes run short first
    found = json.loads(await pods.backend.log_tail(bomb.id))
    few = body.replace("LIMIT", "50").replace("HOLD", "os._exit(0)")
    other = await pods.ask(few, user="bob", host_uid=UID_BASE + 2)
    control("a neighbour makes fifty during the bomb", other == {"made": 50, "errno": 0})
    assert POD_PIDS // 2 < found["made"] < POD_PIDS
    assert found["errno"] == 11


@pytest.mark.proves("Q04")
async def test_files_without_end(pods: PodBench, control: Control) -> None:
    """Empty files in /tmp are the sandbox's own memory: it ends alone when they are too many."""
    body = """
import os
made = 0
while made < 2_000_000:
    os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
    made += 1
    if made % 20_000 == 0:
        print(made, flush=True)
"""
    neighbour = await pods.running(pods.spec(user="bob", host_uid=UID_BASE + 2))
    spec = pods.spec(main=body)
    small = replace(spec, resources=replace(spec.resources, memory=96 << 20))
    await pods.create(small)
    await pods.backend.start(small.id)
    status = await pods.backend.ended(small.id, 120)
    said = await pods.backend.log_tail(small.id)
    control("files can be made", "20000" in said)
    assert status is not None
    assert status.exit_code == 137, (status, said)
    assert "out of memory" in status.reason
    still = await pods.backend.status(neighbour.id)
    assert still is not None
    assert still.value == "running"


@pytest.mark.proves("Q06")
async def test_descriptors_without_end(pods: PodBench, control: Control) -> None:
    """Whoever opens all that the runtime lets a process open takes none of a neighbour's."""
    body = """
import json, os, resource
most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 40_000)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
count, met = 0, 0
try:
    while count < 50_000:
        os.open("/dev/null", os.O_RDONLY); count += 1
except OSError as error:
    met = error.errno
print(json.dumps({"count": count, "errno": met, "most": most}), flush=True)
HOLD
"""
    spec = await greedy(pods, body.replace("HOLD", HOLD))
    # What Python says when it has none left to end with comes by another pipe: behind it, or before.
    lines = (await pods.backend.log_tail(spec.id)).splitlines()
    found = next(json.loads(line) for line in lines if line.startswith("{"))
    other = await pods.ask(body.replace("HOLD", ""), user="bob", host_uid=UID_BASE + 2)
    control("a neighbour opens as many meanwhile", other == found)
    assert (found["errno"], found["count"] < found["most"]) == (24, True)


@pytest.mark.proves("Q07")
async def test_what_the_kernel_counts_for_a_user(pods: PodBench, control: Control) -> None:
    """Whoever takes every inotify instance, pipe and message queue leaves a neighbour all of its own."""
    pipes = PIPES.replace("PAIRS", "1900").replace("QUEUES", "1000")
    spec = await greedy(pods, INOTIFY.replace("HOLD", pipes.replace("HOLD", HOLD)))
    await pods.said(spec, "queues")
    first, last = map(json.loads, (await pods.backend.log_tail(spec.id)).split("\n")[:2])
    control("the greedy one took them", first["count"] > 0 and last["last"] < 65536 and last["queues"] > 0)
    few = PIPES.replace("PAIRS", "10").replace("QUEUES", str(last["queues"])).replace("HOLD", "")
    count, other = map(
        json.loads,
        (await pods.play(INOTIFY.replace("HOLD", few), user="bob", host_uid=UID_BASE + 2))[1].split("\n")[:2],
    )
    assert count == first
    assert (other["last"], other["queues"]) == (65536, last["queues"])


@pytest.mark.proves("Q08")
async def test_every_core(pods: PodBench, control: Control) -> None:
    """However many processes compute, together they get the cores of the profile, and see no GPU."""
    body = """
import json, os, signal, time
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        while True: pass
    children.append(child)
time.sleep(3)
for child in children:
    os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
spent = os.times()
gpus = [name for name in os.listdir("/dev") if name.startswith("nvidia")]
print(json.dumps({"share": (spent.children_user + spent.children_system) / 3, "gpus": gpus}))
"""
    found = await pods.ask(body)
    control("something was computed", found["share"] > 0)
    assert found["share"] < 0.4 * 1.25 + 0.1
    assert found["gpus"] == []
