"""Does the Kubernetes backend keep the contract of backends/base.py? The same tests as every backend's."""

from __future__ import annotations

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
