"""What happens on Docker when the launcher's wall clock leaps an hour, on or back, while sandboxes run?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.leap import a_leap_ends_nothing

from .daemon import Daemon

Control = Callable[[str, bool], None]


@pytest.mark.lane("faketime")
@pytest.mark.parametrize("hours", [1, -1])
def test_the_clock_leaps(daemon: Daemon, tmp_path: Path, hours: int, control: Control) -> None:
    """Nothing ends by it, waits last as long as ever, ends are told, a new start has the new time."""
    a_leap_ends_nothing(str(daemon.directory), tmp_path, hours, control)
    assert daemon.ask("ps", "--all", "--quiet") == ""
