"""Is a sandbox's own NetworkPolicy made anew when somebody deletes or changes it, and only then?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.layout import OWNER_LABEL

from .stage import Stage


def policy(stage: Stage, name: str) -> dict[str, Any]:
    """The policy as the cluster has it; {} where there is none."""
    return stage.cluster.kind("networkpolicies").get(name, {})


@pytest.mark.proves("E21")
async def test_one_that_is_deleted_is_made_anew(stage: Stage) -> None:
    """It says the same, and goes with the sandbox's Secret as before."""
    spec = await stage.running()
    before = json.loads(json.dumps(policy(stage, spec.id)))
    await stage.cluster.drop("networkpolicies", spec.id)
    await stage.until(lambda: bool(policy(stage, spec.id)))
    after = policy(stage, spec.id)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
    await stage.backend.remove(spec.id)
    assert [things for things in stage.cluster.objects.values() if things] == []


@pytest.mark.proves("E21")
async def test_one_that_is_changed_is_made_anew(stage: Stage) -> None:
    """Opened by hand, it is closed again; a label that somebody adds is none of our business."""
    spec = await stage.running()
    wanted = json.loads(json.dumps(policy(stage, spec.id)["spec"]))
    api = stage.backend._host.api
    await api.patch("networkpolicies", spec.id, {"metadata": {"labels": {"seen": "yes"}}})
    assert await api.patch("networkpolicies", spec.id, {"spec": {"egress": [{}]}}) is not None
    await stage.until(lambda: policy(stage, spec.id).get("spec") == wanted)
    assert stage.cluster.asked.count("DELETE networkpolicies") == 1


async def test_one_that_went_while_no_launcher_looked_is_made_anew(stage: Stage) -> None:
    """The next launcher, and one whose watch broke, compare all of them."""
    spec = await stage.running()
    stage.cluster.refuse["POST", "networkpolicies"] = (500, "not now")
    await stage.cluster.drop("networkpolicies", spec.id)
    await stage.until(lambda: stage.cluster.asked.count("POST networkpolicies") > 1)
    assert not policy(stage, spec.id)
    stage.cluster.refuse.clear()
    async with KubernetesBackend.opened(stage.site):
        await stage.until(lambda: bool(policy(stage, spec.id)))


async def test_the_policy_of_a_sandbox_that_is_over_stays_away(stage: Stage) -> None:
    """What has ended needs none; the same deletion brings back another's."""
    over, runs = await stage.running(), await stage.created(id="sb-" + "b" * 20)
    await stage.backend.stop(over.id, 0)
    for spec in (over, runs):
        await stage.cluster.drop("networkpolicies", spec.id)
    await stage.until(lambda: bool(policy(stage, runs.id)))
    assert not policy(stage, over.id)


@pytest.mark.proves("E21")
async def test_one_whose_labels_are_gone_is_made_anew(stage: Stage) -> None:
    """Who takes the labels away hides it from the watch; it still goes with the sandbox's Secret."""
    spec = await stage.running()
    wanted = json.loads(json.dumps(policy(stage, spec.id)))
    policy(stage, spec.id)["spec"]["egress"] = [{}]
    await stage.cluster.unlabel("networkpolicies", spec.id, OWNER_LABEL)
    await stage.until(lambda: policy(stage, spec.id).get("spec") == wanted["spec"])
    assert policy(stage, spec.id)["metadata"]["labels"] == wanted["metadata"]["labels"]


async def test_one_of_somebody_else_is_left_alone(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Without our labels and our owner it is another's, whatever its name; that is said once."""
    spec = await stage.running()
    policy(stage, spec.id)["spec"]["egress"] = [{}]
    del policy(stage, spec.id)["metadata"]["ownerReferences"]
    before = stage.cluster.asked.count("GET networkpolicies")
    await stage.cluster.unlabel("networkpolicies", spec.id, OWNER_LABEL)
    await stage.until(lambda: stage.cluster.asked.count("GET networkpolicies") > before + 2)
    assert policy(stage, spec.id)["spec"]["egress"] == [{}]
    assert sum("could not be made anew" in line for line in caplog.messages) == 1


@pytest.mark.proves("E21")
async def test_a_sandbox_of_an_environment_that_is_gone_hinders_nobody(stage: Stage) -> None:
    """The admin took its image out of site.json: its own policy and everybody else's are kept."""
    old, other = await stage.running(), await stage.created(id="sb-" + "b" * 20)
    await stage.backend.start(other.id)
    object.__setattr__(stage.backend._host.site, "environments", {})
    for spec in (old, other):
        await stage.cluster.drop("networkpolicies", spec.id)
    await stage.cluster.drop_watches()
    await stage.until(lambda: bool(policy(stage, old.id)) and bool(policy(stage, other.id)))


async def test_what_has_ended_keeps_no_policy_that_opens_more(stage: Stage) -> None:
    """Else nobody could start beside it: what opens more than the way to the gateway is never looked over."""
    spec = await stage.running()
    wanted = json.loads(json.dumps(policy(stage, spec.id)["spec"]))
    await stage.backend.stop(spec.id, 0)
    await stage.backend._host.api.patch("networkpolicies", spec.id, {"spec": {"egress": [{}]}})
    await stage.until(lambda: policy(stage, spec.id).get("spec") == wanted)
