"""What happens on Docker when the launcher's wall clock leaps an hour, on or back, while sandboxes run?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT, FAKETIME

from .daemon import Daemon

Control = Callable[[str, bool], None]


@pytest.mark.lane("faketime")
@pytest.mark.parametrize("hours", [1, -1])
def test_the_clock_leaps(daemon: Daemon, tmp_path: Path, hours: int, control: Control) -> None:
    """Nothing ends by it, waits last as long as ever, ends are told, a new start has the new time."""
    clock = tmp_path / "clock"
    clock.write_text("+0h")
    # The clock alone: what counts seconds since the boot is shifted by nobody, root neither.
    settings = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    played = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.docker.leap",
            str(daemon.directory),
            str(tmp_path),
            str(clock),
            str(hours),
        ],
        cwd=CHECKOUT,
        env=os.environ | settings | {"LD_PRELOAD": FAKETIME},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert played.returncode == 0, played.stderr
    assert daemon.ask("ps", "--all", "--quiet") == ""
    found = json.loads(played.stdout)
    control("the clock leapt", abs(found["leapt"] - hours * 3600) < 60)
    assert found["same"]
    assert (found["early"], found["code"], found["reason"]) == (False, 6, "stopped on request")
    assert 0.9 < found["waited"] < 10
    assert 0.9 < found["grace"] < 20
    assert -20 < found["since"] <= 0
    assert found["events"] == ["sandbox.pending", "sandbox.running", "sandbox.stopped"]
