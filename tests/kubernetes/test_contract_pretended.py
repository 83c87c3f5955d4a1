"""Does the Kubernetes backend keep the contract where the cluster is pretended? So it is shown everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jupyter_sandbox_spawner.models import Doors, Mount, SandboxSpec
from tests.backends.test_contract import (
    test_create_is_idempotent,
    test_created_is_pending,
    test_events_after_the_clock_went_back,
    test_events_in_order,
    test_inventory_carries_labels,
    test_own_end_is_told,
    test_remove_running,
    test_start_runs,
    test_stop_before_start,
    test_stop_is_idempotent,
    test_unknown_id,
    test_usage_and_log_of_unknown,
)
from tests.backends.tiny import Bench

from .stage import Stage

__all__ = [
    "test_create_is_idempotent",
    "test_created_is_pending",
    "test_events_after_the_clock_went_back",
    "test_events_in_order",
    "test_inventory_carries_labels",
    "test_own_end_is_told",
    "test_remove_running",
    "test_start_runs",
    "test_stop_before_start",
    "test_stop_is_idempotent",
    "test_unknown_id",
    "test_usage_and_log_of_unknown",
]


class PretendBench(Bench):
    """Sandboxes whose programs end when the cluster says so."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.backend)
        self._cluster = stage.cluster

    def spec(self, user: str = "alice", **changes: object) -> SandboxSpec:
        """See Bench.spec."""
        home = Mount(kind="home", source="home-x", target="/home/jovyan", read_only=False)
        plain = super().spec(user)
        return replace(plain, host_uid=10_001, environment_name="data-science", mounts=(home,), **changes)

    def doors(self, spec: SandboxSpec) -> Doors:
        """See Bench.doors."""
        return replace(super().doors(spec), ticket="ticket")

    async def end(self, spec: SandboxSpec, code: int) -> None:
        """See Bench.end."""
        await self._cluster.finish(spec.id, code)


@pytest.fixture
def backend(stage: Stage) -> PretendBench:
    """The Kubernetes backend under the contract."""
    return PretendBench(stage)
