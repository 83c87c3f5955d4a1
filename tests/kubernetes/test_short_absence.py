"""What does a start or a stop notice of an API server that is away for a moment? Nothing."""

from __future__ import annotations

import logging

import pytest

from jupyter_sandbox_spawner.errors import BackendError

from .stage import Stage

BREAKS = ("asked", "done")


@pytest.mark.parametrize("when", BREAKS)
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        *(("POST", "secrets"), ("POST", "networkpolicies"), ("PATCH", "secrets"), ("POST", "pods")),
        *(("GET", "pods"), ("DELETE", "pods"), ("DELETE", "secrets"), ("DELETE", "networkpolicies")),
    ],
)
async def test_one_that_breaks(stage: Stage, method: str, kind: str, when: str) -> None:
    """Wherever a connection breaks, before it was done or after: one sandbox, and nothing left."""
    stage.backend._host.api._insist = 20.0
    made: list[str] = []
    stage.cluster.admit = lambda pod: made.append(pod["metadata"]["name"])
    # Twice, since a client may try a connection that it had kept open once by itself.
    stage.cluster.lost = [(method, kind, when)] * 2
    spec = await stage.running()
    assert (await stage.status())[0] == "running"
    assert (await stage.backend.stop(spec.id, 1)).value == "stopped"
    await stage.backend.remove(spec.id)
    assert stage.cluster.lost == []
    assert made == [spec.id]
    assert [things for things in stage.cluster.objects.values() if things] == []


async def test_one_that_stays_away(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is given up in time; the user reads no address and no word of Python, the admin reads both once."""
    spec = await stage.created()
    stage.cluster.lost = [("POST", "pods", "asked")] * 100
    with caplog.at_level(logging.WARNING), pytest.raises(BackendError) as away:
        await stage.backend.start(spec.id)
    assert away.value.code == "kubernetes.unreachable"
    assert str(away.value) == (
        "The cluster does not answer; try again in a moment. Your admin finds more in the launcher's log."
    )
    lines = [line for line in caplog.messages if line.startswith("kubernetes.unreachable")]
    assert len(lines) == 1
    assert "Error" in lines[0]
    assert 95 < len(stage.cluster.lost) < 99


async def test_what_was_refused_is_not_asked_again(stage: Stage) -> None:
    """An answer is an answer: only where there is none the cluster is asked again."""
    spec = await stage.created()
    stage.cluster.refuse["POST", "pods"] = (403, 'User "x" cannot create resource "pods"')
    with pytest.raises(BackendError):
        await stage.backend.start(spec.id)
    assert stage.cluster.asked.count("POST pods") == 1


async def test_a_refusal_is_said_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A right that is missing is said when it is missed, and not again with every try."""
    stage.cluster.refuse["GET", "pods"] = (403, 'User "x" cannot list resource "pods"')
    before = stage.cluster.asked.count("GET pods")
    with caplog.at_level(logging.WARNING):
        await stage.cluster.drop_watches()
        await stage.until(lambda: stage.cluster.asked.count("GET pods") > before + 3)
    assert len([line for line in caplog.messages if line.startswith("kubernetes.rbac")]) == 1
    assert len(caplog.messages) == 2
