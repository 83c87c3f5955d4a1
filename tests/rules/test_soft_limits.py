"""When does a sandbox end whose limits only a watchdog holds?"""

from __future__ import annotations

import pytest

from jupyter_sandbox_spawner.models import Resources
from jupyter_sandbox_spawner.rules.soft_limits import end_for, soft_limits

MOST = Resources(cpu=1.0, memory=256 << 20, pids=64)
SOFT = {"memory": False, "pids": False, "cpu": False}


@pytest.mark.parametrize(
    ("memory", "pids", "why"),
    [
        (256 << 20, 64, ""),
        ((256 << 20) + 1, 1, "out of memory: used 256.0 MB of 256.0 MB (soft limit)"),
        (687 << 20, 65, "out of memory: used 687.0 MB of 256.0 MB (soft limit)"),
        (0, 65, "too many processes: 65 of 64 (soft limit)"),
    ],
)
def test_what_is_above_the_limit_ends(memory: int, pids: int, why: str) -> None:
    """At the limit it goes on; above it the reason has both numbers and the word soft."""
    assert end_for(memory, pids, MOST, SOFT) == why


def test_what_the_kernel_holds_is_left_to_it() -> None:
    """A limit that the kernel enforces ends nothing here, whatever is counted."""
    assert end_for(1 << 40, 1 << 20, MOST, {"memory": True, "pids": True, "cpu": False}) == ""
    assert end_for(0, 65, MOST, {"memory": False, "pids": True, "cpu": False}) == ""


def test_soft_limits_have_names() -> None:
    """They are named in order; where everything is hard there are none."""
    assert soft_limits(SOFT) == ("cpu", "memory", "pids")
    assert soft_limits(dict.fromkeys(SOFT, True)) == ()
