"""Do lanes, controls and evidence behave as promised? Small inner runs of pytest answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT

INNER = '''
import pytest

@pytest.mark.proves("X98")
def test_held(control, evidence):
    """A control that succeeded is recorded."""
    control("the twin answers", True)

@pytest.mark.proves("X99")
def test_broken(control, evidence):
    """A control that failed fails the test, with its evidence."""
    evidence("log of the house", lambda: "the house burned")
    control("the twin answers", False)

@pytest.mark.lane("npm")
def test_skips_by_itself():
    """A skip inside a lane."""
    pytest.skip("no mood")
'''


ASYNC = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
LITTER = '''
import asyncio
import socket

async def test_leaves_a_stream_open():
    """A test that fails and closes nothing."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    loop = asyncio.get_running_loop()
    assert loop is None

def test_neighbour():
    """A test that cleans memory up."""
    import gc
    gc.collect()
'''


def run_inner(
    directory: Path, text: str, *options: str, **environ: str
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run pytest with our conftest on one file; returns its output and the results file."""
    (directory / "test_inner.py").write_text(text)
    results = directory / "results.json"
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "-rs"]
    command += ["--rootdir", str(directory), "-c", os.devnull, str(directory / "test_inner.py"), *options]
    setting = {**os.environ, "SANDBOX_RESULTS": str(results), "PYTHONDONTWRITEBYTECODE": "1", **environ}
    setting.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=CHECKOUT, env=setting, capture_output=True, text=True, check=False)
    return done, results


@pytest.mark.parametrize("workers", ["0", "2"])
def test_results_tell_control_and_outcome(tmp_path: Path, workers: str) -> None:
    """Each proved id is written once, with its test, its outcome, and its positive control's outcome."""
    done, results = run_inner(tmp_path, INNER, "-n", workers)
    records = json.loads(results.read_text())
    assert [tuple(record[name] for name in ("id", "test", "outcome", "control")) for record in records] == [
        ("X98", "test_inner.py::test_held", "passed", "passed"),
        ("X99", "test_inner.py::test_broken", "failed", "failed"),
    ]
    assert "the house burned" in done.stdout


def test_a_failure_stays_one_failure(tmp_path: Path) -> None:
    """A stream that a failed test left open does not fail the tests after it."""
    done, _ = run_inner(tmp_path, LITTER, "-o", "filterwarnings=error", *ASYNC)
    assert "1 failed, 1 passed" in done.stdout, done.stdout


def test_a_skip_in_a_required_lane_fails(tmp_path: Path) -> None:
    """A test that skips although its lane is required counts as failed."""
    only = INNER[INNER.index("@pytest.mark.lane") :]
    free, _ = run_inner(tmp_path, "import pytest\n" + only, SANDBOX_REQUIRE="")
    bound, _ = run_inner(tmp_path, "import pytest\n" + only, SANDBOX_REQUIRE="npm")
    assert free.returncode == 0, free.stdout
    assert bound.returncode == 1, bound.stdout


@pytest.mark.parametrize("environ", [{"SANDBOX_REQUIRE": "rooot"}])
def test_an_unknown_required_lane_is_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    """A lane name with a typing error in SANDBOX_REQUIRE stops the run."""
    done, _ = run_inner(tmp_path, INNER, **environ)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "rooot" in done.stderr


def test_what_is_built_late_is_tried_late(tmp_path: Path) -> None:
    """One run without a lane and one with it alone have each test once; a lane nobody knows is refused."""
    first, _ = run_inner(tmp_path, INNER, "--without-lanes", "npm opa", "--collect-only")
    last, _ = run_inner(tmp_path, INNER, "--only-lanes", "npm opa", "--collect-only")
    wrong, _ = run_inner(tmp_path, INNER, "--only-lanes", "npn")
    seen = [
        {name for name in ("held", "broken", "skips") if f"test_{name}" in run.stdout}
        for run in (first, last)
    ]
    assert seen == [{"held", "broken"}, {"skips"}]
    assert wrong.returncode == pytest.ExitCode.USAGE_ERROR
    assert "npn" in wrong.stderr
