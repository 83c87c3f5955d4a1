"""How many GPUs may control give on a cluster, by what the admin counts and what the quota lets through?"""

from __future__ import annotations

from dataclasses import replace

from jupyter_sandbox_spawner.rules.cluster_gpus import cluster_gpus, quota_lines

from .test_claims import CLUSTER

WITH_GPUS = replace(
    CLUSTER,
    gpu_resource={
        "nvidia-a100": "nvidia.com/gpu",
        "nvidia-l4": "nvidia.com/gpu",
        "mig-1g.10gb": "nvidia.com/mig",
    },
    gpu_counts={"nvidia-a100": 2, "nvidia-l4": 3},
    quota="sandboxes",
)


def test_counts_become_devices() -> None:
    """Each is an id of its own, so that the ledger counts it like any other; what is not counted is told."""
    found = cluster_gpus(WITH_GPUS, {})
    assert [device.id for device in found.devices][:3] == ["nvidia-a100/1", "nvidia-a100/2", "nvidia-l4/1"]
    assert len(found.devices) == 5
    assert found.notes == ("gpu_counts does not say how many mig-1g.10gb there are: none is given.",)


def test_the_quota_has_the_last_word() -> None:
    """Kinds of one resource share its line; what nobody could start is not given, and the reason is told."""
    found = cluster_gpus(WITH_GPUS, {"requests.nvidia.com/gpu": "3"})
    assert [device.kind for device in found.devices] == ["nvidia-a100", "nvidia-a100", "nvidia-l4"]
    assert (
        "the ResourceQuota sandboxes lets all pods have 3 of nvidia.com/gpu: 1 are given" in found.notes[-1]
    )
    assert cluster_gpus(WITH_GPUS, {"requests.nvidia.com/gpu": "none"}).devices == ()


def test_lines_of_a_quota() -> None:
    """What the cluster says of it counts before what was asked for."""
    document = {"spec": {"hard": {"pods": "5"}}, "status": {"hard": {"pods": "4"}, "used": {"pods": "1"}}}
    assert quota_lines(document) == ({"pods": "4"}, {"pods": "1"})
    assert quota_lines({"spec": {"hard": {"pods": "5"}}}) == ({"pods": "5"}, {})
