"""Is a sandbox's own NetworkPolicy put right when it is gone, changed, or outdated, and only then?"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from jupyter_sandbox_spawner.backends.kubernetes.backend import KubernetesBackend
from jupyter_sandbox_spawner.backends.kubernetes.layout import OWNER_LABEL, POLICY
from jupyter_sandbox_spawner.backends.kubernetes.objects import PodObjects

from .stage import Stage


def policy(stage: Stage, name: str) -> dict[str, Any]:
    """The policy as the cluster has it; {} where there is none."""
    return stage.cluster.kind("networkpolicies").get(name, {})


def port(stage: Stage, name: str) -> int:
    """Where it lets its sandbox out; 0 where it lets it out everywhere, or is not there."""
    (rule,) = policy(stage, name).get("spec", {"egress": [{}]})["egress"]
    return int(rule["ports"][0]["port"]) if rule else 0


def given(stage: Stage, name: str) -> list[str]:
    """The digests of the policies that its Secret says it was given."""
    annotations = stage.cluster.kind("secrets")[name]["metadata"]["annotations"]
    return str(annotations.get(POLICY, "")).split()


def look_away(stage: Stage) -> None:
    """This launcher looks at no policy any more, as one that ended."""
    stage.backend._policies._sandboxes = dict


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    """How loud the log says that a policy is put right."""
    return [record.levelname for record in caplog.records if "its NetworkPolicy" in record.getMessage()]


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
async def test_one_that_is_changed_is_put_right(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Opened by hand, it is closed again, never away; a label that somebody adds is none of our business."""
    spec = await stage.running()
    wanted = json.loads(json.dumps(policy(stage, spec.id)["spec"]))
    api = stage.backend._host.api
    await api.patch("networkpolicies", spec.id, {"metadata": {"labels": {"seen": "yes"}}})
    assert await api.patch("networkpolicies", spec.id, {"spec": {"egress": [{}]}}) is not None
    await stage.until(lambda: policy(stage, spec.id).get("spec") == wanted)
    assert levels(caplog) == ["CRITICAL"]
    assert stage.cluster.asked.count("DELETE networkpolicies") == 0
    assert policy(stage, spec.id)["metadata"]["labels"]["seen"] == "yes"


async def test_one_of_earlier_settings_is_put_right(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The admin moved the gateway's port: each is told without alarm, and none is away for a moment."""
    spec = await stage.running()
    look_away(stage)
    async with KubernetesBackend.opened(replace(stage.site, pods_port=9555)):
        await stage.until(lambda: port(stage, spec.id) == 9555)
        await stage.until(lambda: stage.cluster.asked[-1] == "PATCH secrets")
    async with KubernetesBackend.opened(replace(stage.site, pods_port=9556)):
        await stage.until(lambda: port(stage, spec.id) == 9556)
    assert levels(caplog) == ["WARNING", "WARNING"]
    assert stage.cluster.asked.count("DELETE networkpolicies") == 0


async def test_one_of_an_earlier_version_is_put_right(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Its Secret does not say what it was given: nobody is accused, and from then on it does."""
    spec = await stage.running()
    look_away(stage)
    del stage.cluster.kind("secrets")[spec.id]["metadata"]["annotations"][POLICY]
    async with KubernetesBackend.opened(replace(stage.site, pods_port=9555)):
        await stage.until(lambda: port(stage, spec.id) == 9555)
        await stage.until(lambda: len(given(stage, spec.id)) == 1)
    assert levels(caplog) == ["WARNING"]
    assert "is not known" in caplog.text
    async with KubernetesBackend.opened(replace(stage.site, pods_port=9556)):
        await stage.until(lambda: port(stage, spec.id) == 9556)
    assert levels(caplog) == ["WARNING", "WARNING"]
    assert "earlier settings" in caplog.text


async def test_a_launcher_that_dies_while_it_puts_one_right(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it had begun is known to be ours: the next change of the settings is no alarm either."""
    spec = await stage.running()
    look_away(stage)
    close = PodObjects.close

    async def then_die(*arguments: Any) -> None:
        await close(*arguments)
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(PodObjects, "close", then_die)
        async with KubernetesBackend.opened(replace(stage.site, pods_port=9555)):
            await stage.until(lambda: port(stage, spec.id) == 9555)
    async with KubernetesBackend.opened(replace(stage.site, pods_port=9556)):
        await stage.until(lambda: port(stage, spec.id) == 9556)
        await stage.until(lambda: len(given(stage, spec.id)) == 1)
    assert levels(caplog) == ["WARNING", "WARNING"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_what_is_tried_again_is_told_once(
    stage: Stage, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Also where we took the old one away ourselves, and the cluster does not let us make the new one."""
    spec = await stage.running()
    look_away(stage)
    if method == "POST":
        stage.cluster.refuse["PUT", "networkpolicies"] = (403, 'cannot update resource "networkpolicies"')
    stage.cluster.refuse[method, "networkpolicies"] = (500, "not now")
    before = stage.cluster.asked.count("GET networkpolicies")
    async with KubernetesBackend.opened(replace(stage.site, pods_port=9555)):
        await stage.until(lambda: stage.cluster.asked.count("GET networkpolicies") > before + 5)
        stage.cluster.refuse.clear()
        await stage.until(lambda: port(stage, spec.id) == 9555)
    assert levels(caplog) == ["WARNING"]


@pytest.mark.proves("E21")
async def test_one_that_was_opened_meanwhile_is_an_alarm(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the site's settings changed as well, and whatever the policy says of itself."""
    spec = await stage.running()
    look_away(stage)
    opened = {"metadata": {"annotations": {POLICY: "ours"}}, "spec": {"egress": [{}]}}
    await stage.backend._host.api.patch("networkpolicies", spec.id, opened)
    async with KubernetesBackend.opened(replace(stage.site, pods_port=9555)):
        await stage.until(lambda: port(stage, spec.id) == 9555)
    assert levels(caplog) == ["CRITICAL"]


async def test_without_the_right_to_put_it_right(stage: Stage) -> None:
    """A Role of an earlier version: what opens more goes all the same, and another is made."""
    spec = await stage.running()
    wanted = json.loads(json.dumps(policy(stage, spec.id)["spec"]))
    stage.cluster.refuse["PUT", "networkpolicies"] = (403, 'cannot update resource "networkpolicies"')
    await stage.backend._host.api.patch("networkpolicies", spec.id, {"spec": {"egress": [{}]}})
    await stage.until(lambda: policy(stage, spec.id).get("spec") == wanted)


async def test_one_that_changes_at_the_same_moment(stage: Stage) -> None:
    """What was read is not what is there by now: it is looked at again, and put right."""
    spec = await stage.running()
    wanted = json.loads(json.dumps(policy(stage, spec.id)["spec"]))
    api = stage.backend._host.api
    replaced = api.replace

    async def after_another(kind: Any, name: str, manifest: Any) -> Any:
        api.replace = replaced  # type: ignore[method-assign]
        await api.patch("networkpolicies", name, {"metadata": {"labels": {"seen": "yes"}}})
        return await replaced(kind, name, manifest)

    api.replace = after_another  # type: ignore[method-assign]
    await api.patch("networkpolicies", spec.id, {"spec": {"egress": [{}]}})
    await stage.until(lambda: policy(stage, spec.id).get("spec") == wanted)
    assert policy(stage, spec.id)["metadata"]["labels"]["seen"] == "yes"


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
async def test_one_whose_labels_are_gone_is_put_right(stage: Stage) -> None:
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
    assert sum("could not be put right" in line for line in caplog.messages) == 1


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
