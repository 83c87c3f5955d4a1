"""What does a cell see of MLflow: nothing to set up, one sentence when it is away? Checks 24, 26, 33."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hub_config.demo.tracking import in_database, log_run, wait_until_ready
from tests.support.house import House, open_house

Control = Callable[[str, bool], None]
pytestmark = [
    pytest.mark.lane("root", "runc", "cgroup", "npm", "userenv", "hub6"),
    pytest.mark.timeout(300),
]
PATIENCE = 15.0  # seconds that a cell may take when MLflow is away
LOG = """
import json, time
began = time.monotonic()
try:
    import mlflow
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1.0)
    seen = {"run": run.info.run_id}
except Exception as error:
    seen = {"error": type(error).__name__, "text": str(error)}
print(json.dumps({**seen, "seconds": round(time.monotonic() - began, 2)}))
"""


@pytest.fixture(scope="module")
def house(evidence: Callable[[str, Callable[[], str]], Callable[[], None]]) -> Iterator[House]:
    """The whole product with alice's server and MLflow running."""
    with open_house() as opened:
        forget = evidence("the house's programs", opened.running.log)
        try:
            opened.server("alice")
            opened.wait(wait_until_ready(opened.running), 180)
            yield opened
        finally:
            forget()


def cell(house: House, code: str) -> Any:
    """What a cell of alice printed last, as JSON."""
    output = house.wait(house.kernel("alice").execute(code, timeout=120), 180)
    assert output.ok, str(output)
    return json.loads(output.stdout.strip().splitlines()[-1])


def test_a_fresh_kernel_logs_a_run(house: House) -> None:
    """With nothing set up: parameter, metric and artifact in her workspace; mlflow not imported before."""
    kernel = house.wait(house.new_kernel("alice"))
    assert "of alice in u-alice-" in house.wait(log_run(house.running, kernel), 180)
    house.wait(kernel.__aexit__(None, None, None))


def test_the_magic_says_where_it_went(house: House) -> None:
    """%sandbox mlflow names server, workspace and experiment."""
    output = house.wait(house.kernel("alice").execute("found = %sandbox mlflow\nprint(found)", timeout=60))
    assert output.ok, str(output)
    assert "u-alice-" in output.stdout
    assert "http://mlflow.sandbox.internal, answers" in output.stdout


def test_a_rotated_token_needs_no_restart(house: House, control: Control) -> None:
    """A token that was replaced in the environment is used by the next call of the same kernel."""
    fresh = house.wait(house.visitor("alice").token("rotated"))
    code = """
import json, os
import mlflow
def attempt():
    try:
        mlflow.search_experiments()
        return "answered"
    except Exception as error:
        return str(error)
seen, own = {}, os.environ["JUPYTERHUB_API_TOKEN"]
seen["before"] = attempt()
os.environ["JUPYTERHUB_API_TOKEN"] = "revoked"
seen["revoked"] = attempt()
os.environ["JUPYTERHUB_API_TOKEN"] = "FRESH"
seen["fresh"] = attempt()
os.environ["JUPYTERHUB_API_TOKEN"] = own
print(json.dumps(seen))
"""
    seen = cell(house, code.replace("FRESH", fresh))
    control("her server's token is taken", seen["before"] == "answered")
    assert "identity.unknown" in seen["revoked"]
    assert seen["fresh"] == "answered"


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_mlflow_away_costs_a_cell_one_sentence(house: House, control: Control, how: str) -> None:
    """Hanging, a cell ends in under 15 s with a sentence that says what to do; killed, it does or it waits
    for the next MLflow and works; later it works.
    """
    control("before, a run is logged", "run" in cell(house, LOG))
    pid = house.programs.pid("tracking")
    before = house.running.log_file.read_text().count("\ntracking  ready")
    os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    seen = cell(house, LOG)
    assert seen["seconds"] < PATIENCE, seen
    if how == "stopped" or "error" in seen:
        assert "Run the cell again in a minute" in seen["text"], seen
    if how == "stopped":
        os.kill(pid, signal.SIGCONT)
    else:
        deadline = time.monotonic() + 120
        while house.running.log_file.read_text().count("\ntracking  ready") == before:
            assert time.monotonic() < deadline
            time.sleep(0.2)  # a file gives no event
    again = cell(house, LOG)
    assert len(in_database(house.running, again["run"])) == 1


def test_mlflow_that_dies_during_a_cell(house: House) -> None:
    """A cell that logs while the server is killed has the sentence within 15 s, or waits and goes on."""
    code = """
import json, time
import mlflow
worst, error, step, end = 0.0, "", 0, time.monotonic() + 12
try:
    with mlflow.start_run():
        while time.monotonic() < end:
            began = time.monotonic()
            mlflow.log_metric("m", step, step=step)
            step, worst = step + 1, max(worst, time.monotonic() - began)
except Exception as caught:
    error, worst = str(caught), max(worst, time.monotonic() - began)
print(json.dumps({"step": step, "worst": worst, "text": error}))
"""
    kernel = house.kernel("alice")
    running = house.wait_later(kernel.execute(code, timeout=120))
    time.sleep(3)  # some steps; the cell tells nobody how far it is
    os.kill(house.programs.pid("tracking"), signal.SIGKILL)
    output = running.result(120)
    assert output.ok, str(output)
    seen = json.loads(output.stdout.strip().splitlines()[-1])
    assert seen["step"] > 10
    assert seen["worst"] < PATIENCE
    if seen["text"]:
        assert "MLflow does not answer" in seen["text"] or "Run the cell again" in seen["text"], seen


def test_its_client_calls_nobody_else(house: House) -> None:
    """In all of it alice's sandbox was refused no host: MLflow's client reports to nobody."""
    hosts = {str(event.detail.get("host")) for event in house.events("egress.denied", "alice")}
    assert hosts <= {"mlflow.sandbox.internal"}, hosts
