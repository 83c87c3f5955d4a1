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


def run_inner(directory: Path, text: str, **environ: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run pytest with our conftest on one file; returns its output and the results file."""
    (directory / "test_inner.py").write_text(text)
    results = directory / "results.json"
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "-rs"]
    command += ["--rootdir", str(directory), "-c", os.devnull, str(directory / "test_inner.py")]
    setting = {**os.environ, "SANDBOX_RESULTS": str(results), "PYTHONDONTWRITEBYTECODE": "1", **environ}
    setting.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=CHECKOUT, env=setting, capture_output=True, text=True, check=False)
    return done, results


def test_results_tell_control_and_outcome(tmp_path: Path) -> None:
    """Each proved id is written with its outcome and the outcome of its positive control."""
    _, results = run_inner(tmp_path, INNER)
    found = {
        record["id"]: (record["outcome"], record["control"]) for record in json.loads(results.read_text())
    }
    assert found == {"X98": ("passed", "passed"), "X99": ("failed", "failed")}


def test_a_failure_shows_its_evidence(tmp_path: Path) -> None:
    """Evidence that a fixture registered is printed with a failed test."""
    done, _ = run_inner(tmp_path, INNER)
    assert "the house burned" in done.stdout


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
