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

PROVES = {"hostile.spec.ts": pytest.mark.proves("H06")}
SPECS = [
    pytest.param(path.name, marks=PROVES.get(path.name, ()), id=path.name)
    for path in sorted(UI_TESTS.glob("tests/*.ts"))
    if path.name.endswith(".spec.ts")
    or (path.name.endswith(".pictures.ts") and "SANDBOX_PICTURES" in os.environ)
]
PATIENCE = 840
Outcome = tuple[str, str, str]
Outcomes = dict[str, list[Outcome]]


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


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Title, outcome and first error of each test, by file: one JupyterLab for all chosen specs."""
    chosen = [item.callspec.params["spec"] for item in request.session.items if _of_a_spec(item)]
    place = tmp_path_factory.mktemp("galata")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    report = place / "report.json"
    variables = {
        "SANDBOX_LAB_PORT": str(port),
        "SANDBOX_LAB_PYTHON": str((VENVS / "browser/bin/python").absolute()),
        "PLAYWRIGHT_JSON_OUTPUT_NAME": str(report),
        "HOME": str(place),
        "TMPDIR": str(place),
    }
    arguments = ["--reporter=list,json", f"--output={place / 'results'}", *(f"/{spec}" for spec in chosen)]
    _, told = run(["npx", "--no-install", "playwright", "test", *arguments], UI_TESTS, **variables)
    assert report.exists(), told[-6000:]
    suites: list[dict[str, Any]] = json.loads(report.read_text())["suites"]
    return {Path(suite["file"]).name: list(_outcomes([suite])) for suite in suites}


def _of_a_spec(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and item.function is test_the_extension_in_a_real_browser


@pytest.mark.lane("galata")
@pytest.mark.timeout(PATIENCE + 60)
@pytest.mark.parametrize("spec", SPECS)
def test_the_extension_in_a_real_browser(spec: str, outcomes: Outcomes) -> None:
    """Every test of this file passes in Debian's Chromium; none is skipped without a reason."""
    found = outcomes.get(spec, [])
    broken = [f"{title}: {outcome}\n{why}" for title, outcome, why in found if outcome != "expected"]
    assert not broken, "\n".join(broken)[-8000:]
    assert found


def _outcomes(suites: list[dict[str, Any]]) -> Iterator[Outcome]:
    """Title, outcome and first error of every test in Playwright's report."""
    for suite in suites:
        yield from _outcomes(suite.get("suites", []))
        for spec in suite.get("specs", []):
            for test in spec["tests"]:
                errors = [result["error"]["message"] for result in test["results"] if result.get("error")]
                yield spec["title"], test["status"], errors[0] if errors else ""
