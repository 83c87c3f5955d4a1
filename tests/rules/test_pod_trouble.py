"""Does everybody get a sentence for why a pod does not start, from what real clusters say?"""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_sandbox_spawner.rules.pod_trouble import link_trouble, pending_trouble, refused_pod

PREEMPTION = "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
NODE = "worker-17"


def unscheduled(message: str) -> dict[str, Any]:
    """A pod that the scheduler has no node for."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"status": {"phase": "Pending", "conditions": [condition]}}


def waiting(reason: str, message: str = "", kind: str = "containerStatuses") -> dict[str, Any]:
    """A pod with a container that waits."""
    container = {
        "name": "sandbox",
        "image": "registry.example/lab:1",
        "state": {"waiting": {"reason": reason, "message": message}},
    }
    return {"status": {"phase": "Pending", kind: [container]}}


@pytest.mark.parametrize(
    ("message", "code", "named"),
    [
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu. ", "no_gpu", "nvidia.com/gpu"),
        (
            "0/3 nodes are available: 3 Insufficient nvidia.com/mig-1g.10gb. ",
            "no_gpu",
            "nvidia.com/mig-1g.10gb",
        ),
        ("0/3 nodes are available: 1 Insufficient cpu, 3 Insufficient memory. ", "no_room", "cpu"),
        ("0/3 nodes are available: 3 Insufficient memory. ", "no_room", "memory"),
        ("0/1 nodes are available: 1 Too many pods. ", "no_room", "Too many pods"),
        (
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. ",
            "volume_pending",
            "kubectl describe pvc",
        ),
        ('0/3 nodes are available: persistentvolumeclaim "home-x" not found. ', "volume_missing", "home-x"),
        (
            '0/3 nodes are available: persistentvolumeclaim "home-x" is being deleted. ',
            "volume_ending",
            "describe pvc home-x",
        ),
        (
            "0/3 nodes are available: 3 node(s) had volume node affinity conflict. ",
            "volume_elsewhere",
            "bound",
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. ",
            "node_not_ready",
            "describe nodes",
        ),
        ("no nodes available to schedule pods", "node_not_ready", "no node"),
        ("0/3 nodes are available: 3 node(s) had untolerated taint {team: other}. ", "no_node", "taint"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s). ", "no_node", "not ready"),
        (
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. ",
            "no_node",
            "selector",
        ),
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node"
            " affinity/selector. ",
            "no_node",
            "Node selector, affinity, taints",
        ),
        ("something of tomorrow", "no_node", "something of tomorrow"),
    ],
)
def test_no_node_fits(message: str, code: str, named: str) -> None:
    """The scheduler's words have a code, a sentence for the user and one that names the lack to the admin."""
    found = pending_trouble(unscheduled(message + PREEMPTION))
    assert found is not None
    assert (found.code, found.fatal) == (f"kubernetes.{code}", False)
    assert named in found.admin
    assert "nodes are available" not in found.user


@pytest.mark.parametrize(
    ("reason", "message", "code", "fatal"),
    [
        (
            "ErrImageNeverPull",
            "Container image is not present with pull policy of Never",
            "image_missing",
            True,
        ),
        ("InvalidImageName", 'couldn\'t parse image name "A:": invalid reference', "image_unpullable", True),
        ("ErrImagePull", 'rpc error: "registry.example/lab:1": not found', "image_missing", False),
        (
            "ErrImagePull",
            "pull access denied, repository does not exist or may require",
            "image_denied",
            False,
        ),
        ("ErrImagePull", "dial tcp: lookup registry.example: no such host", "image_unpullable", False),
        ("ImagePullBackOff", 'Back-off pulling image "registry.example/lab:1"', "image_unpullable", False),
        ("CreateContainerError", "failed to reserve container name", "container_failed", True),
        ("CreateContainerConfigError", 'secret "sb-x" not found', "container_failed", False),
        ("CrashLoopBackOff", "back-off 10s restarting failed container", "container_failed", False),
    ],
)
@pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses"])
def test_a_container_waits(reason: str, message: str, code: str, fatal: bool, kind: str) -> None:
    """What cannot change by waiting ends the start; the link's trouble is told like the user's."""
    found = pending_trouble(waiting(reason, message, kind))
    assert found is not None
    assert (found.code, found.fatal) == (f"kubernetes.{code}", fatal)
    assert "registry.example" not in found.user


@pytest.mark.parametrize("code", ["clock", "expired", "authority_expired", "foreign"])
@pytest.mark.parametrize("where", ["state", "lastState"])
def test_a_link_that_trusts_nobody(code: str, where: str) -> None:
    """What the link says last is told by its own code, and fails the start; others' words are not."""
    ended = {"terminated": {"exitCode": 4, "message": f"certificates.{code}: it is so"}}
    pod = waiting("CrashLoopBackOff", "back-off 10s", "initContainerStatuses")
    (status,) = pod["status"]["initContainerStatuses"]
    status[where] = {**status.get(where, {}), **ended}
    found = pending_trouble(pod)
    assert found is not None
    assert found.code == "kubernetes.container_failed"
    status["name"] = "link"
    found = pending_trouble(pod)
    assert found is not None
    assert (found.code, found.fatal) == (f"certificates.{code}", True)
    assert "it is so" in found.admin
    assert "it is so" not in found.user


def test_a_link_that_runs_again() -> None:
    """What it wrote as it gave up is past: it may have been let in by now."""
    ended = {"terminated": {"exitCode": 4, "message": "certificates.clock: it is so"}}
    link = {"name": "link", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    pod = {"status": {"phase": "Pending", "initContainerStatuses": [link]}}
    assert link_trouble(pod) is not None
    link["state"] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    assert link_trouble(pod) is None
    assert pending_trouble(pod) is None
    link["state"] = ended
    assert link_trouble(pod) is not None


def test_which_claim_is_waited_for() -> None:
    """The admin reads the claim's name."""
    text = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    condition = {"type": "PodScheduled", "status": "False", "message": text}
    volumes = [{"name": "x"}, {"name": "home", "persistentVolumeClaim": {"claimName": "home-alice-1"}}]
    found = pending_trouble({"spec": {"volumes": volumes}, "status": {"conditions": [condition]}})
    assert found is not None
    assert "home-alice-1: 0/1 nodes" in found.admin
    assert "alice" not in found.user


def test_what_the_registry_had_said() -> None:
    """A kubelet that backs off does not repeat the reason: it is in its earlier event."""
    told = {
        "reason": "Failed",
        "message": 'Failed to pull image "registry.example/lab:1": manifest unknown',
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    found = pending_trouble(waiting("ImagePullBackOff"), [told])
    assert found is not None
    assert found.code == "kubernetes.image_missing"


@pytest.mark.parametrize(
    ("reason", "message", "code", "fatal"),
    [
        (
            "FailedMount",
            "Unable to attach or mount volumes: unmounted volumes=[home]: timed out",
            "volume_unmountable",
            False,
        ),
        ("FailedAttachVolume", "Multi-Attach error for volume", "volume_unmountable", False),
        (
            "FailedCreatePodSandBox",
            'Failed to create pod sandbox: no runtime for "gvisor" is configured',
            "runtime_class",
            True,
        ),
        ("FailedCreatePodSandBox", "Failed: user namespaces are not supported", "user_namespaces", True),
        ("FailedCreatePodSandBox", "failed to setup network for sandbox: cni plugin", "pod_sandbox", False),
    ],
)
def test_what_the_kubelet_tells(reason: str, message: str, code: str, fatal: bool) -> None:
    """A pod whose node is at work on it: the newest event that tells of a failure counts."""
    older = {"reason": "Pulled", "message": "x", "lastTimestamp": "2026-01-01T00:00:00Z"}
    newer = {"reason": reason, "message": message, "lastTimestamp": "2026-01-01T00:00:01Z"}
    found = pending_trouble({"status": {"phase": "Pending"}}, [newer, older])
    assert found is not None
    assert (found.code, found.fatal) == (f"kubernetes.{code}", fatal)
    assert message.split(":")[0] in found.admin


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ({"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z"}, False),
        ({"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:02Z"}, False),
        ({"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:07Z"}, True),
        ({"eventTime": "2026-01-01T00:00:00.5Z"}, False),
        (
            {
                "eventTime": "2026-01-01T00:00:00.5Z",
                "series": {"count": 4, "lastObservedTime": "2026-01-01T00:00:08.1Z"},
            },
            True,
        ),
        ({}, False),
    ],
)
def test_a_mount_that_succeeds_in_a_moment(times: dict[str, Any], told: bool) -> None:
    """A Secret that the kubelet has not read yet is no trouble; a volume that fails for seconds is."""
    message = 'MountVolume.SetUp failed for volume "ticket": failed to sync secret cache'
    found = pending_trouble(
        waiting("ContainerCreating"), [{"reason": "FailedMount", "message": message, **times}]
    )
    assert (found is not None and found.code == "kubernetes.volume_unmountable") == told
    assert (found is None) == (not told)


def test_nothing_is_wrong() -> None:
    """A pod on its way is in no trouble, and an event that tells of progress is none."""
    for reason in ("ContainerCreating", "PodInitializing"):
        assert pending_trouble(waiting(reason), [{"reason": "Scheduled", "message": "to a node"}]) is None
    assert pending_trouble({}) is None


@pytest.mark.parametrize(
    ("message", "code", "named"),
    [
        (
            'pods "sb-x" is forbidden: exceeded quota: users, requested: limits.memory=1Gi',
            "quota",
            "users",
        ),
        ('pods "sb-x" is forbidden: failed quota: users: must specify requests.cpu', "quota", "users"),
        (
            'pods "sb-x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            "pod_security",
            "runAsNonRoot",
        ),
        (
            'pods "sb-x" is forbidden: pod rejected: RuntimeClass "gvisor" not found',
            "runtime_class",
            "gvisor",
        ),
        (
            'pods is forbidden: User "system:serviceaccount:a:b" cannot create resource "pods"',
            "rbac",
            "may not create pods. Apply",
        ),
        (
            'persistentvolumeclaims "home-x" is forbidden: exceeded quota: users, requested: storage=8M',
            "home_quota",
            "ResourceQuota users has no room for the claim of a home",
        ),
        ('pods "x" is forbidden: no PriorityClass with name low was found', "priority_class", "low"),
        (
            'pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi',
            "limit_range",
            "1Gi",
        ),
        ('namespaces "jupyter-sandbox-pods" not found', "namespace", "hub_config"),
        (
            "forbidden: unable to create new content in namespace x because it is being terminated",
            "namespace",
            "x",
        ),
        ('admission webhook "no.example" denied the request: not today', "admission", "no.example"),
    ],
)
def test_the_api_refuses(message: str, code: str, named: str) -> None:
    """Each refusal has its own code; the user reads no name, the admin reads the cluster's own words."""
    found = refused_pod(message)
    assert found is not None
    assert (found.code, found.fatal) == (f"kubernetes.{code}", True)
    assert named in found.admin
    assert "forbidden" not in found.user


def test_an_unknown_refusal_and_a_long_one() -> None:
    """What nobody has thought of is nobody's trouble; what is long is cut, on one line."""
    assert refused_pod("pods is odd") is None
    found = refused_pod("exceeded quota: a, requested: " + "x\n" * 5000)
    assert found is not None
    assert len(found.admin) <= 600
    assert "\n" not in found.admin
