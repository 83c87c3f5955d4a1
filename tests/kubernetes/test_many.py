"""What do a hundred sandboxes cost the cluster's API? A few questions, however many there are."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.names import sandbox_id
from tests.backends.kubernetes_facts import SPEC

from .stage import DOORS, Stage

COUNT = 100


async def test_a_hundred_are_adopted_by_six_questions(stage: Stage) -> None:
    """A launcher that starts anew asks for version, records, pods, policies, and watches; ends are told."""
    specs = [replace(SPEC, id=sandbox_id("alice", str(number), "x")) for number in range(COUNT)]
    for spec in specs:
        await stage.backend.create(spec, DOORS, {})
    await asyncio.gather(*(stage.backend.start(spec.id) for spec in specs))
    before = len(stage.cluster.asked)
    async with KubernetesBackend.opened(stage.site) as again:
        assert {item.status.value for item in await again.inventory()} == {"running"}
        asked = ["networkpolicies", "networkpolicies", "pods", "pods", "secrets", "version"]
        await stage.until(lambda: len(stage.cluster.asked) == before + len(asked))
        assert sorted(stage.cluster.asked[before:]) == [f"GET {kind}" for kind in asked]
        for spec in specs:
            await stage.cluster.finish(spec.id, 3)
        for launcher in (again, stage.backend):
            ends = await asyncio.gather(*(launcher.ended(spec.id, 30) for spec in specs))
            assert {status.exit_code for status in ends if status} == {3}
        asked = stage.cluster.asked[before + 6 :]
        # Each end is recorded once by each of the two that look.
        assert (asked.count("PATCH secrets"), len(asked)) == (2 * COUNT, 2 * COUNT)


async def test_starts_cost_what_they_make(stage: Stage) -> None:
    """A start is a Secret, a policy, its announcement, a pod, its verdict: nobody asks whether it runs."""
    before = len(stage.cluster.asked)
    await stage.running()
    assert stage.cluster.asked[before:] == [
        *("POST secrets", "POST networkpolicies", "PATCH secrets", "POST pods", "PATCH secrets"),
    ]
