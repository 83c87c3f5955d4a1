"""Does the command measure, and refuse what it cannot do with a sentence?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.figures import Measure
from benchmarks.row import BenchmarkError, Row, Take


def toy(breaks: bool = False) -> Row:
    """A row whose contestants answer at once; the second has no `cost`."""
    measures = (Measure("speed", "MB/s"), Measure("cost", "s"))
    values = {
        "ours": {"speed": 4.0, "cost": 1.0},
        "peer": {"speed": 2.0, "cost": 2.0},
        "none": {"speed": 9.0},
    }

    @asynccontextmanager
    async def opened() -> AsyncIterator[Take]:
        async def take(name: str) -> Mapping[str, float]:
            if breaks:
                raise BenchmarkError("the peer fell over")
            return values[name]

        yield take

    return Row("toy", "a toy", ("ours", "peer", "none"), measures, opened)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """The rows that the command knows, for a test to replace."""
    found = {"toy": toy()}
    monkeypatch.setattr(command, "ROWS", found)
    return found


def test_a_run_writes_table_document_and_picture(
    rows: dict[str, Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table goes to stdout, progress to stderr, the rest where it was asked for."""
    wanted = ["--rounds", "2", "--json", f"{tmp_path}/a.json", "--plot", f"{tmp_path}/a.svg"]
    assert command.main([*wanted, "--markdown", f"{tmp_path}/a.md"]) == 0
    told = capsys.readouterr()
    document = json.loads((tmp_path / "a.json").read_text())
    assert "| speed | ours 4 MB/s | peer 2 MB/s | none 9 MB/s | **2x**" in told.out
    assert "round 2 of 2" in told.err
    assert "round" not in told.out.replace("rounds", "").replace("the round", "")
    assert (tmp_path / "a.md").read_text() == told.out
    assert [line["rounds"] for line in document["lines"]] == [2, 2]
    assert list(document["lines"][1]["medians"]) == ["ours", "peer"]
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_a_row_that_breaks_says_why(rows: dict[str, Row], capsys: pytest.CaptureFixture[str]) -> None:
    """The other rows are measured all the same; the exit status tells."""
    rows["broken"] = toy(breaks=True)
    assert command.main(["broken", "toy", "--rounds", "1"]) == 1
    told = capsys.readouterr()
    assert "not measured: the peer fell over" in told.err
    assert "| speed |" in told.out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["nothing"], "there is none named 'nothing'; known are: toy"),
        (["--rounds", "0"], "--rounds: 0 is less than 1"),
        (["--rounds", "many"], "--rounds: invalid int value: 'many'"),
        (["--json", "/no/such/place/a.json"], "the directory of /no/such/place/a.json does not exist"),
    ],
)
def test_a_wrong_argument_is_refused(
    rows: dict[str, Row], given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names argument and value; the exit status is 2."""
    with pytest.raises(SystemExit) as ended:
        command.main(given)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.lane("root", "runc", "cgroup", "userenv")
def test_the_front_row_measures_a_real_sandbox(capsys: pytest.CaptureFixture[str]) -> None:
    """One round through front and relay and straight to the server gives two positive numbers."""
    assert command.main(["front", "--rounds", "1"]) == 0
    row = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| one small GET")]
    assert len(row) == 1
    assert "front + relay" in row[0]


@pytest.mark.lane("root", "runc", "cgroup", "userenv")
def test_a_load_row_measures_two_real_sandboxes(capsys: pytest.CaptureFixture[str]) -> None:
    """One round of an attack gives the neighbour's p50 and p95 of both kinds of requests, beside quiet."""
    assert command.main(["load-slow-heads", "--rounds", "1"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| slowloris")]
    assert len(rows) == 4
    assert all("under slowloris" in row and "quiet" in row and "ms" in row for row in rows)
