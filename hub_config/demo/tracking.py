"""Is a run on MLflow's server after one cell with nothing set up, hers and in nobody else's workspace?

Law: what the notebook says is compared with the server's own database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from typing import Any

from .kernel import Kernel
from .proofs import printed, require
from .running import RunningSite
from .visitor import Refusal, Visitor

__all__ = ["CELL", "Found", "in_database", "log_run", "open_pages", "wait_until_ready"]

_READY_WITHIN = 120.0
_API = "ajax-api/2.0/mlflow"  # as MLflow's own pages call it

# The first cell of a new person, as MLflow's own documentation has it.
CELL = """
import json, sys
early = "mlflow" in sys.modules
import mlflow
with mlflow.start_run() as run:
    mlflow.log_param("depth", 3)
    mlflow.log_metric("accuracy", 0.75)
    mlflow.log_text("hello", "greeting.txt")
seen = mlflow.get_run(run.info.run_id)
print(json.dumps({"run": run.info.run_id, "early": early, "params": seen.data.params,
                  "metrics": seen.data.metrics, "artifact": mlflow.artifacts.load_text(
                  seen.info.artifact_uri + "/greeting.txt")}))
"""

_QUERY = """
select experiments.workspace, runs.user_id,
       (select value from params where params.run_uuid = runs.run_uuid),
       (select value from metrics where metrics.run_uuid = runs.run_uuid)
from runs join experiments using (experiment_id) where runs.run_uuid = ?
"""
Found = tuple[str, str, str, float]


async def wait_until_ready(running: RunningSite) -> None:
    """MLflow starts while the hub already serves; nobody else waits for it. Raises TimeoutError."""
    deadline = time.monotonic() + _READY_WITHIN
    while "\ntracking  ready" not in running.log_file.read_text():  # a file gives no event
        if time.monotonic() > deadline:
            raise TimeoutError(f"MLflow did not answer within {_READY_WITHIN:.0f} s")
        await asyncio.sleep(0.1)


async def log_run(running: RunningSite, kernel: Kernel) -> str:
    """Run the cell; its run must be in the database, in one workspace, under her name."""
    await wait_until_ready(running)
    seen: dict[str, Any] = printed(await kernel.execute(CELL, timeout=90))
    require(seen.pop("early") is False, "mlflow was imported before the cell")
    run = seen.pop("run")
    wanted = {"params": {"depth": "3"}, "metrics": {"accuracy": 0.75}, "artifact": "hello"}
    require(seen == wanted, json.dumps(seen))
    found = in_database(running, run)
    require(len(found) == 1, f"{len(found)} runs of this id in the database")
    workspace, user, param, metric = found[0]
    name = kernel.visitor.name
    require((user, param, metric) == (name, "3", 0.75), str(found))
    require(workspace.startswith(f"u-{name}-"), workspace)
    files = sorted(running.state_dir.glob(f"tracking/artifacts/workspaces/*/**/{run}/artifacts/*"))
    places = [
        path.relative_to(running.state_dir / "tracking/artifacts/workspaces").parts[0] for path in files
    ]
    require(places == [workspace], f"its artifact is in {places}")
    return f"run {run[:8]} of {user} in {workspace} alone: parameter, metric, artifact"


async def open_pages(alice: Visitor, bob: Visitor) -> str:
    """Who is logged in to the hub sees her own runs in MLflow's pages, with no other password."""
    shown = {}
    for visitor in (alice, bob):
        page = await visitor.open(visitor.service("mlflow/"))
        require((page.status, 'id="root"' in page.text) == (200, True), f"{page.status} {page.url}")
        shown[visitor.name] = await _runs(visitor)
    hers, his = shown[alice.name], shown[bob.name]
    require(bool(hers) and not hers & his, f"hers {hers}, his {his}")
    refused = 0
    try:
        await bob.call("GET", bob.service(f"mlflow/{_API}/runs/get?run_id={min(hers)}"))
    except Refusal as refusal:
        refused = refusal.status
    require(refused in (403, 404), f"her run asked for by him: {refused}")
    return f"{len(hers)} of hers, {len(his)} of his; her run asked for by him: {refused}"


async def _runs(visitor: Visitor) -> set[str]:
    """Ids of the runs that MLflow's pages find for this person."""
    search: dict[str, Any] = {"max_results": 100}
    found = await visitor.call("POST", visitor.service(f"mlflow/{_API}/experiments/search"), search)
    experiments = [item["experiment_id"] for item in found.get("experiments", ())]
    search |= {"experiment_ids": experiments}
    found = await visitor.call("POST", visitor.service(f"mlflow/{_API}/runs/search"), search)
    return {item["info"]["run_id"] for item in found.get("runs", ())}


def in_database(running: RunningSite, run: str) -> list[Found]:
    """Workspace, user, parameter and metric of a run, as MLflow keeps them."""
    place = running.state_dir / "tracking/mlflow.db"
    with contextlib.closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as database:
        return list(database.execute(_QUERY, (run,)))
