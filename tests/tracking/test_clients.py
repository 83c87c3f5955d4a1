"""Does MLflow's own client work through the egress door, full and skinny? Check 24."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_sandbox_spawner.gateway.egress.own import OwnService
from jupyter_sandbox_spawner.hub.environment import MLFLOW
from tests.lanes import VENVS
from tests.programs.egress_support import account, open_door
from tests.tracking.server import MlflowServer

# What people do with either package; one document at the end.
BOTH = """
import json, os, tempfile
import mlflow
from mlflow import MlflowClient
seen = {}
with mlflow.start_run(run_name="parent", tags={"team": "a"}) as parent:
    mlflow.log_params({"a": 1, "b": "x" * 400})
    mlflow.log_metrics({"loss": 0.5, "accuracy": 0.9}, step=1)
    mlflow.log_metric("loss", 0.25, step=2)
    mlflow.log_dict({"a": [1, 2]}, "config/values.json")
    with tempfile.TemporaryDirectory() as directory:
        for name in ("one.txt", "two 2.txt", "ü.txt"):
            open(os.path.join(directory, name), "w").write(name)
        mlflow.log_artifacts(directory, "many")
    with mlflow.start_run(nested=True) as child:
        mlflow.log_param("nested", True)
    mlflow.set_tag("done", "yes")
client = MlflowClient()
run = parent.info.run_id
seen["history"] = [item.value for item in client.get_metric_history(run, "loss")]
seen["files"] = sorted(item.path for item in client.list_artifacts(run, "many"))
seen["text"] = mlflow.artifacts.load_text(f"runs:/{run}/many/two 2.txt")
seen["dict"] = mlflow.artifacts.load_dict(f"runs:/{run}/config/values.json")
seen["parent"] = child.data.tags.get("mlflow.parentRunId") == run
mlflow.set_experiment("other")
seen["experiment"] = mlflow.get_experiment_by_name("other").name
seen["experiments"] = sorted(item.name for item in mlflow.search_experiments())
found = client.search_runs([parent.info.experiment_id], "metrics.loss < 0.3 and tags.done = 'yes'")
seen["found"] = [item.info.run_id for item in found] == [run]
client.delete_run(run)
client.restore_run(run)
try:
    client.log_text(run, "x", "config/values.json")
    seen["twice"] = "taken"
except Exception as error:
    seen["twice"] = "tracking.write_once" in str(error)

@mlflow.trace
def work(x):
    return x + 1
work(1)
mlflow.flush_trace_async_logging()
"""
FULL = (
    BOTH
    + """
class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return ["seen"] * len(model_input)

with mlflow.start_run() as run:
    info = mlflow.pyfunc.log_model(name="model", python_model=Doubler(), input_example=[1, 2])
seen["predicted"] = list(mlflow.pyfunc.load_model(info.model_uri).predict([3]))
version = mlflow.register_model(info.model_uri, "doubler")
client.set_registered_model_alias("doubler", "champion", version.version)
seen["by alias"] = list(mlflow.pyfunc.load_model("models:/doubler@champion").predict([5]))
seen["runs"] = len(mlflow.search_runs(experiment_names=["other"])) >= 1
seen["traces"] = len(mlflow.search_traces(return_type="list"))
"""
)


async def session(mlflow: MlflowServer, room: str, code: str, tmp_path: Path) -> Any:
    """What a client of this room printed, talking through a door as a sandbox does."""
    own = OwnService(
        name="mlflow.sandbox.internal", port=80, path=mlflow.site.tracking_socket, called="MLflow"
    )
    who = account()
    who.user = f"client-{room}"
    async with open_door(who, own=(own,)) as door:
        proxy = f"http://127.0.0.1:{door.port}"
        environment = {
            **MLFLOW,
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy),
            "NO_PROXY": "localhost,127.0.0.1,::1",
            "JUPYTERHUB_API_TOKEN": mlflow.hub.give(who.user),
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
        }
        process = await asyncio.create_subprocess_exec(
            *(str(VENVS / room / "bin/python"), "-c", f"{code}\nprint(json.dumps(seen))"),
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, error = await process.communicate()
    assert process.returncode == 0, f"{error.decode()[-3000:]}\n{who.codes[-5:]}"
    denied = [item for item in who.decided if item[3] != "egress.allowed"]
    assert denied == []
    return json.loads(out.decode().strip().splitlines()[-1])


@pytest.mark.lane("userenv")
@pytest.mark.parametrize(("room", "code"), [("user", BOTH), ("tracking", FULL)], ids=["skinny", "full"])
async def test_what_people_do_works(mlflow: MlflowServer, room: str, code: str, tmp_path: Path) -> None:
    """Runs, nested runs, artifacts, searches, traces, and with full MLflow models, need nothing set up."""
    seen = await session(mlflow, room, code, tmp_path)
    assert seen["history"] == [0.5, 0.25]
    assert seen["files"] == ["many/one.txt", "many/two 2.txt", "many/ü.txt"]
    assert (seen["text"], seen["dict"]) == ("two 2.txt", {"a": [1, 2]})
    assert (seen["parent"], seen["found"], seen["twice"]) == (True, True, True)
    assert seen["experiments"] == ["Default", "other"]
    if room == "tracking":
        assert (seen["predicted"], seen["by alias"]) == (["seen"], ["seen"])
        assert seen["runs"]
        assert seen["traces"] == 1
