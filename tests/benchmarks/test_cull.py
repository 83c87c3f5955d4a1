"""Do the rows of the culling benchmark measure real looks and real stops, on a hub that is small?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.cull import rows


@pytest.mark.lane("npm")
@pytest.mark.timeout(240)
def test_both_end_every_server_that_is_due(tmp_path: Path) -> None:
    """Of 30 servers control and idle-culler end three each, control no more at once than it may."""
    file = tmp_path / "due.json"
    # A program of its own that may not go before all others: here nothing is timed, and others work.
    asked = ["cull-due", "--servers", "30", "--rounds", "1", "--json", str(file)]
    humble = ["setpriv", "--bounding-set", "-sys_nice"] if os.geteuid() == 0 else []
    command_line = [*humble, sys.executable, "-m", "benchmarks", *asked]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = {line["name"]: line for line in json.loads(file.read_text())["lines"]}
    ended = lines["due at the same minute: until all have ended"]["medians"]
    at_once = lines["due at the same minute: stops at once"]["medians"]
    assert set(ended) == {"control", "idle-culler"}
    assert all(0 < took < 60 for took in ended.values())
    assert at_once["idle-culler"] == 1
    assert 1 <= at_once["control"] <= 20


def test_the_rows_say_how_many_servers_there_are() -> None:
    """The number is in each row's description, and each has a limit of rounds."""
    found = rows(1234)
    assert [row.name for row in found] == ["cull", "cull-minute", "cull-due"]
    assert all("1234" in row.about and row.rounds for row in found)


def test_too_few_servers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """They are ended in tenths, so there are ten at least."""
    with pytest.raises(SystemExit) as ended:
        command.main(["cull", "--servers", "9"])
    assert ended.value.code == 2
    assert "--servers: 9 is less than 10" in capsys.readouterr().err
