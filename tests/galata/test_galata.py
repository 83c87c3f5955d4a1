"""Do the JupyterLab extension's own tests pass: its types, its unit tests, and Galata in Chromium?

Galata's server has no authentication, on loopback and for these tests alone; what it answers is stubbed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import LABEXTENSION, UI_TESTS, VENVS

SPECS = sorted(path.name for path in UI_TESTS.glob("tests/*.spec.ts"))
PATIENCE = 540


def run(command: list[str], where: Path, **variables: str) -> tuple[int, str]:
    """Status and output; whatever it started ends with it."""
    with subprocess.Popen(
        command,
        cwd=where,
        env=os.environ | {"NO_COLOR": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            told, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            told, _ = process.communicate()
        return process.returncode, told


@pytest.mark.lane("labext")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("script", ["check", "test"])
def test_the_sources_are_sound(script: str) -> None:
    """The compiler finds no error in strict types, and every unit test of `node --test` passes."""
    status, told = run(["npm", "run", "--silent", script], LABEXTENSION)
    assert status == 0, told[-6000:]


@pytest.mark.lane("galata")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("spec", SPECS)
def test_the_extension_in_a_real_browser(spec: str, tmp_path: Path) -> None:
    """Every test of this file passes in Debian's Chromium; none is skipped without a reason."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    report = tmp_path / "report.json"
    variables = {
        "SANDBOX_LAB_PORT": str(port),
        "SANDBOX_LAB_PYTHON": str((VENVS / "browser/bin/python").absolute()),
        "PLAYWRIGHT_JSON_OUTPUT_NAME": str(report),
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    arguments = ["--reporter=list,json", f"--output={tmp_path / 'results'}", f"/{spec}"]
    status, told = run(["npx", "--no-install", "playwright", "test", *arguments], UI_TESTS, **variables)
    document: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    found = list(_outcomes(document.get("suites", [])))
    broken = [f"{title}: {outcome}\n{why}" for title, outcome, why in found if outcome != "expected"]
    assert not broken, "\n".join(broken)[-8000:]
    assert status == 0, told[-6000:]
    assert found, told[-6000:]


def _outcomes(suites: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Title, outcome and first error of every test in Playwright's report."""
    for suite in suites:
        yield from _outcomes(suite.get("suites", []))
        for spec in suite.get("specs", []):
            for test in spec["tests"]:
                errors = [result["error"]["message"] for result in test["results"] if result.get("error")]
                yield spec["title"], test["status"], errors[0] if errors else ""
