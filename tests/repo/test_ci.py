"""Does .ci/run call a commit good only where all was tried? Stand-ins play the programs that it runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.lanes import CHECKOUT, kubectl

SCRIPTS = ("prepare", "check", "test", "demo", "conformance", "without-root")
# What one does stands in plan/NAME; NAME of a suite is that of its results.
SCRIPT = """#!/usr/bin/env bash
name=$(basename "$0")
[ $name != test ] || { name=$(basename "$SANDBOX_RESULTS" .json) && echo "== 1 passed in 0.01s =="; }
[ ! -e plan/$name ] || . plan/$name
"""
PYTHON = """#!/usr/bin/env bash
case $1 in
-) cat >plan/asked; . plan/lanes ;;
-m) cat plan/last-failed ;;
esac
"""
FAILS = 'echo "FAILED tests/test_a.py::test_one - late"; echo "== 1 failed, 20 passed in 9.00s =="; exit '
UNREADABLE = "echo '____ ERROR collecting tests/test_b.py ____'\n"


def copy(place: Path, lanes: str = "", **plan: str) -> Path:
    """A checkout with the script and stand-ins that do as planned; where nothing is, all passes."""
    for folder in (".ci", "scripts", ".venv/hub/bin", "plan", ".results", ".pytest_cache/tests"):
        (place / folder).mkdir(parents=True)
    shutil.copy(CHECKOUT / ".ci/run", place / ".ci/run")
    for name in SCRIPTS:
        (place / "scripts" / name).write_text(SCRIPT)
    (place / ".venv/hub/bin/python").write_text(PYTHON)
    for program in (*place.glob("scripts/*"), place / ".venv/hub/bin/python"):
        program.chmod(0o755)
    plan = {"lanes": f"echo {lanes}", "last-failed": "tests/test_a.py::test_one\n"} | plan
    for name, text in plan.items():
        (place / "plan" / name).write_text(text)
    return place


def untold() -> dict[str, str]:
    """Our environment without what the run that we are in was told."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")}


def run(place: Path) -> tuple[int, str, str]:
    """Run the copy; its exit status, its last line, and all of it."""
    done = subprocess.run(
        [place / ".ci/run"], env=untold(), capture_output=True, text=True, check=False, timeout=100
    )
    return done.returncode, done.stdout.splitlines()[-1], done.stdout


def test_what_an_earlier_run_left_says_nothing(tmp_path: Path) -> None:
    """All passes; results and failed tests that lay there are gone, and the count is this run's."""
    place = copy(tmp_path)
    (place / ".results/old.json").write_text("[]")
    code, last, text = run(place)
    assert (code, last) == (0, "4 passed, 0 failed"), text
    assert [*place.glob(".results/*"), *place.glob(".pytest_cache/*")] == []


def test_a_failed_test_that_passes_alone(tmp_path: Path) -> None:
    """Where every other test was tried, it counts as passed, and is named."""
    code, last, text = run(copy(tmp_path, tests=f"{FAILS}1"))
    assert (code, last) == (0, "24 passed, 0 failed"), text
    assert "passed only alone: FAILED tests/test_a.py::test_one" in text


@pytest.mark.parametrize("how", [f"{FAILS}3", f"{FAILS}2", UNREADABLE + f"{FAILS}1", "kill -9 $$"])
def test_a_suite_that_has_not_tried_all(tmp_path: Path, how: str) -> None:
    """Broken off, a file not read, or killed: that its failed test passes alone is no excuse."""
    code, last, text = run(copy(tmp_path, tests=how))
    assert (code, "passed only alone" in text, last.endswith(" 0 failed")) == (1, False, False), text


def test_lanes_that_cannot_be_looked_for(tmp_path: Path) -> None:
    """They are no lanes that this machine has not: it says why, and the run has failed."""
    code, last, text = run(copy(tmp_path, lanes="echo docker; echo 'ValueError: no JSON' >&2; exit 1"))
    assert (code, last.endswith(" 0 failed")) == (1, False), text
    assert "ValueError: no JSON" in text


def test_a_lane_that_is_missing_is_named(tmp_path: Path) -> None:
    """Beside the counts stands what this machine has not, and why."""
    code, _, text = run(copy(tmp_path, lanes="echo runsc; echo 'docker: no dockerd' >&2"))
    assert (code, text.splitlines()[-2]) == (0, "docker: no dockerd")


@pytest.mark.parametrize("end", ["kill -9 $PPID", "exit 1"])
def test_what_runs_beside_must_leave_a_count(tmp_path: Path, end: str) -> None:
    """A suite that is killed with the shell that counts for it has failed as one that says so."""
    code, last, text = run(copy(tmp_path, "runsc docker", gvisor=end))
    assert (code, last.endswith(" 1 failed")) == (1, True), text


def test_a_run_in_which_nothing_passed(tmp_path: Path) -> None:
    """Suites that skip everything are no good news."""
    place = copy(tmp_path)
    (place / "scripts/test").write_text("#!/bin/sh\necho '== 3 skipped in 0.01s =='\n")
    assert run(place)[:2] == (1, "0 passed, 0 failed")


def test_check_runs_beside_what_is_still_installed(tmp_path: Path) -> None:
    """Each waits for the other; who fails there fails the run."""
    os.mkfifo(tmp_path / "meeting")
    waits = '[ "$1" != browser ] || timeout 50 cat meeting >met'
    code, last, text = run(
        copy(tmp_path, prepare=waits, check="timeout 50 sh -c 'echo both >meeting'; exit 1")
    )
    assert (tmp_path / "met").read_text() == "both\n", text
    assert (code, last) == (1, "4 passed, 1 failed"), text


def test_a_clusters_tests_run_beside_those_of_what_was_built(tmp_path: Path) -> None:
    """Each waits for the other; who fails on the cluster fails the run."""
    os.mkfifo(tmp_path / "meeting")
    told = "timeout 50 sh -c 'echo both >meeting'; echo '== 1 failed in 0.01s =='; exit 2"
    code, last, text = run(copy(tmp_path, "cluster", built="timeout 50 cat meeting >met", cluster=told))
    assert (tmp_path / "met").read_text() == "both\n", text
    assert (code, last) == (1, "4 passed, 2 failed"), text


def test_what_runs_beside_ends_with_the_run(tmp_path: Path) -> None:
    """Whoever interrupts it interrupts that too, so that it can take down what it began."""
    waits = "while :; do read -t 1 <>plan/never; done"
    long = f"echo $$ >plan/NAME.pid; trap 'touch plan/NAME.over; exit 2' INT; {waits}"
    place = copy(tmp_path, "runsc docker", **{n: long.replace("NAME", n) for n in ("gvisor", "docker")})
    os.mkfifo(place / "plan/never")
    # A CI may have started us with SIGINT ignored.
    words = ["env", "--default-signal=INT", str(place / ".ci/run")]
    begun = subprocess.Popen(words, env=untold(), start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not all((place / f"plan/{name}.pid").exists() for name in ("gvisor", "docker")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(begun.pid, signal.SIGINT)
        assert begun.wait(60) != 0
        assert (place / "plan/gvisor.over").exists()
    finally:
        if begun.poll() is None:
            os.killpg(begun.pid, signal.SIGKILL)
            begun.wait()


@pytest.mark.parametrize(("said", "good"), [("unwell", False), ('{"kustomizeVersion": "v5.4.2"}', True)])
def test_a_kubectl_that_tells_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, good: bool
) -> None:
    """It is not taken, and ends no search for lanes; one that tells its version is."""
    client = tmp_path / "kubectl"
    client.write_text(f"#!/bin/sh\necho '{said}'\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert (kubectl.__wrapped__() == str(client)) is good
