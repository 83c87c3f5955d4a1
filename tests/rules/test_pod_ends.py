"""Is a pod's end told with its exit status and its reason, as real clusters describe it?"""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_sandbox_spawner.rules.pod_ends import view_pod, why_gone

STARTED = "2026-01-02T03:04:05Z"


def pod(state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """A pod whose user's container is in a state."""
    containers = [{"name": "sandbox", "state": state}] if state is not None else []
    return {"metadata": {}, "spec": {"nodeName": "n"}, "status": {"containerStatuses": containers, **status}}


def ended(code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    """A container that has ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": STARTED, **more}}


def test_pending_running_over() -> None:
    """It waits, runs since a moment at an address, and is over when the user's container is."""
    assert view_pod(pod({"waiting": {"reason": "PodInitializing"}}), "sandbox").state == "pending"
    running = view_pod(pod({"running": {"startedAt": STARTED}}, podIP="10.1.2.3"), "sandbox")
    assert (running.state, running.address) == ("running", "10.1.2.3")
    assert running.started_at is not None
    assert running.started_at.isoformat() == "2026-01-02T03:04:05+00:00"
    over = view_pod(pod(ended(7), phase="Running"), "sandbox")
    assert (over.state, over.exit_code, over.failed) == ("over", 7, False)


@pytest.mark.parametrize(
    ("peer", "address"), [("10.0.0.7", "10.1.2.3"), ("fd00::7", "fd00::3"), ("", "10.1.2.3")]
)
def test_the_address_it_will_come_from(peer: str, address: str) -> None:
    """Of a pod with two addresses it is the one of the gateway's family."""
    both = pod(podIP="10.1.2.3", podIPs=[{"ip": "10.1.2.3"}, {"ip": "fd00::3"}])
    assert view_pod(both, "sandbox", peer).address == address
    assert view_pod(pod(podIP="10.1.2.3"), "sandbox", "fd00::7").address == ""


@pytest.mark.parametrize(("phase", "words"), [("stopping", "on request"), ("running", "by somebody else")])
def test_no_pod_any_more(phase: str, words: str) -> None:
    """A pod that is gone was stopped, taken or removed."""
    assert words in why_gone(None, phase)


def test_the_links_end_is_not_the_sandboxs() -> None:
    """A link that was restarted ends nothing."""
    found = pod({"running": {"startedAt": STARTED}})
    found["status"]["initContainerStatuses"] = [{"name": "link", "state": ended(137, "OOMKilled")}]
    view = view_pod(found, "sandbox")
    assert (view.state, view.killed_for_memory) == ("running", False)


def test_out_of_memory() -> None:
    """The kernel's killing for memory is told as that."""
    assert view_pod(pod(ended(137, "OOMKilled")), "sandbox").killed_for_memory
    assert not view_pod(pod(ended(137)), "sandbox").killed_for_memory


@pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun"])
def test_it_never_ran(reason: str) -> None:
    """A program that the runtime could not start has failed, in the runtime's own words."""
    view = view_pod(pod(ended(128, reason, message='exec: "/x": no such file')), "sandbox")
    assert (view.state, view.failed, view.admin) == ("over", True, 'exec: "/x": no such file')


def test_a_lost_container_has_no_exit_status() -> None:
    """137 of a container that nobody can find any more is no exit status."""
    assert view_pod(pod(ended(137, "ContainerStatusUnknown")), "sandbox").exit_code is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"reason": "Evicted", "message": "The node was low on resource: memory."}, "ran short"),
        (
            {"reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds the total limit"},
            "filled the disk",
        ),
        ({"reason": "NodeLost", "message": "x"}, "was lost"),
        (
            {"reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown."},
            "shut down",
        ),
        ({"reason": "OutOfmemory", "message": "x"}, "no room after all"),
        (
            {
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
                ]
            },
            "gave way",
        ),
        (
            {
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
                ]
            },
            "was lost",
        ),
        (
            {
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
                ]
            },
            "being emptied",
        ),
    ],
)
def test_the_cluster_took_it(status: dict[str, Any], words: str) -> None:
    """Evicted, preempted, drained, lost: each in words for its user, with the cluster's for the admin."""
    view = view_pod(pod(phase="Failed", **status), "sandbox")
    assert view.state == "over"
    assert words in view.taken
    assert view.admin
