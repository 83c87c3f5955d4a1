"""Can one person see, change or name what is another's on MLflow? The attempt table, attack C09."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_sandbox_spawner.rules.tracking import workspace_of
from tests.tracking.server import API, Answer, MlflowServer

Control = Callable[[str, bool], None]
ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
SECRET = "value-of-alice-alone"


class Alices:
    """What alice has on the server, each with a value that bob must never read."""

    def __init__(self, mlflow: MlflowServer) -> None:
        self.run, self.place = mlflow.run_of("alice", "hers")
        self.experiment = mlflow.call(
            "alice", "GET", f"{API}/experiments/get-by-name?experiment_name=hers"
        ).document["experiment"]["experiment_id"]
        self.put = mlflow.call("alice", "PUT", f"{ROUTE}/{self.place}/secret.txt", data=SECRET.encode())
        tag = {"run_id": self.run, "key": "note", "value": SECRET}
        assert mlflow.call("alice", "POST", f"{API}/runs/set-tag", tag).status == 200
        made = mlflow.call("alice", "POST", f"{API}/registered-models/create", {"name": "model-of-alice"})
        assert made.status == 200 or b"ALREADY_EXISTS" in made.body
        source = {"name": "model-of-alice", "source": f"mlflow-artifacts:/{self.place}", "run_id": self.run}
        self.version = mlflow.call("alice", "POST", f"{API}/model-versions/create", source)


@pytest.fixture(scope="module")
def hers(mlflow: MlflowServer) -> Alices:
    """Alice's run, experiment, artifact and model."""
    return Alices(mlflow)


def _closed(seen: Answer) -> bool:
    return seen.status >= 400 and SECRET.encode() not in seen.body


@pytest.mark.proves("C09")
def test_c09_anothers_runs_and_artifacts_are_out_of_reach(
    mlflow: MlflowServer, hers: Alices, control: Control
) -> None:
    """Bob reads, tags, ends and deletes none of alice's runs, and reads or writes none of her files."""
    run, place, experiment = hers.run, hers.place, hers.experiment
    own = mlflow.call("alice", "GET", f"{API}/runs/get?run_id={run}")
    control("alice reads her run", own.status == 200 and SECRET.encode() in own.body)
    control(
        "alice reads her file",
        mlflow.call("alice", "GET", f"{ROUTE}/{place}/secret.txt").body == SECRET.encode(),
    )
    attempts: list[tuple[str, str, Any]] = [
        ("GET", f"{API}/runs/get?run_id={run}", None),
        ("GET", f"/ajax-api/2.0/mlflow/runs/get?run_id={run}", None),
        ("GET", f"{API}/experiments/get?experiment_id={experiment}", None),
        ("GET", f"{API}/experiments/get-by-name?experiment_name=hers", None),
        ("POST", f"{API}/experiments/delete", {"experiment_id": experiment}),
        ("POST", f"{API}/experiments/update", {"experiment_id": experiment, "new_name": "bobs"}),
        ("POST", f"{API}/runs/create", {"experiment_id": experiment}),
        ("POST", f"{API}/runs/set-tag", {"run_id": run, "key": "a", "value": "b"}),
        ("POST", f"{API}/runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1}),
        ("POST", f"{API}/runs/log-batch", {"run_id": run, "params": [{"key": "p", "value": "v"}]}),
        ("POST", f"{API}/runs/update", {"run_id": run, "status": "FAILED"}),
        ("POST", f"{API}/runs/delete", {"run_id": run}),
        ("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m", None),
        ("GET", f"{API}/artifacts/list?run_id={run}", None),
        ("GET", f"{ROUTE}/{place}/secret.txt", None),
        ("GET", f"{ROUTE}/{place.split('/', 2)[2]}/secret.txt", None),
        ("GET", f"{ROUTE}/workspaces/{workspace_of('bob')}/../{workspace_of('alice')}/x", None),
        ("GET", f"{ROUTE}/workspaces/{workspace_of('bob')}/%2e%2e/{workspace_of('alice')}/x", None),
        ("GET", f"{ROUTE}?path={place}", None),
        ("GET", f"{ROUTE}?path=../{workspace_of('alice')}", None),
        ("GET", f"{ROUTE}?path=..%2F{workspace_of('alice')}", None),
        ("PUT", f"{ROUTE}/{place}/planted.txt", {"a": 1}),
        ("GET", f"/get-artifact?run_id={run}&path=secret.txt", None),
        ("GET", "/model-versions/get-artifact?name=model-of-alice&version=1&path=secret.txt", None),
    ]
    opened = [item[:2] for item in attempts if not _closed(mlflow.call("bob", *item))]
    assert opened == []
    found = mlflow.call("bob", "POST", f"{API}/runs/search", {"experiment_ids": [experiment, "0", "1"]})
    assert run not in found.body.decode()
    control(
        "nothing of it happened", mlflow.call("alice", "GET", f"{API}/runs/get?run_id={run}").body == own.body
    )


class HerMore:
    """A trace, a logged model and a data set of alice's, by their ids."""

    def __init__(self, mlflow: MlflowServer, hers: Alices) -> None:
        self.trace = "tr-" + "ab" * 16
        self.span = _spans(hers.experiment, self.trace, SECRET)
        self.sent = mlflow.call("alice", "POST", "/v1/traces", data=self.span[0], headers=self.span[1])
        body = {"experiment_id": hers.experiment, "name": "m", "source_run_id": hers.run}
        body["tags"] = [{"key": "note", "value": SECRET}]
        self.model = mlflow.call("alice", "POST", f"{API}/logged-models", body).document["model"]["info"][
            "model_id"
        ]
        body = {"name": "d", "experiment_ids": [hers.experiment], "tags": json.dumps({"note": SECRET})}
        made = mlflow.call("alice", "POST", "/api/3.0/mlflow/datasets/create", body)
        self.dataset = made.document["dataset"]["dataset_id"]


def _spans(experiment: str, trace: str, name: str) -> tuple[bytes, dict[str, str]]:
    """One span as OpenTelemetry's JSON has it, and the headers that say where it belongs."""
    span = {
        "traceId": trace.removeprefix("tr-"),
        "spanId": "cd" * 8,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000001000000000",
        "status": {"code": 1},
    }
    document = {
        "resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "t"}, "spans": [span]}]}]
    }
    headers = {"Content-Type": "application/json", "x-mlflow-experiment-id": experiment}
    return json.dumps(document).encode(), headers


@pytest.fixture(scope="module")
def more(mlflow: MlflowServer, hers: Alices) -> HerMore:
    """Alice's trace, logged model and data set."""
    return HerMore(mlflow, hers)


@pytest.mark.proves("C09")
def test_c09_traces_models_and_data_sets_by_id(
    mlflow: MlflowServer, hers: Alices, more: HerMore, control: Control
) -> None:
    """By the id of alice's trace, logged model or data set bob gets, changes and deletes nothing."""
    three, trace, model, dataset = "/api/3.0/mlflow", more.trace, more.model, more.dataset
    own = f"{three}/traces/get?trace_id={trace}"
    control("alice's trace was taken", more.sent.status == 200)
    control("alice reads her trace", SECRET.encode() in mlflow.call("alice", "GET", own).body)
    models = f"{API}/logged-models"
    control("alice reads her model", SECRET.encode() in mlflow.call("alice", "GET", f"{models}/{model}").body)
    sets = f"{three}/datasets"
    control("alice reads her set", SECRET.encode() in mlflow.call("alice", "GET", f"{sets}/{dataset}").body)
    tag = {"key": "a", "value": "b"}
    attempts: list[tuple[str, str, Any]] = [
        ("GET", own, None),
        ("GET", f"{three}/traces/{trace}", None),
        ("GET", f"{three}/traces/batchGet?trace_ids={trace}", None),
        ("POST", f"{three}/traces/batchGetInfos", {"trace_ids": [trace]}),
        ("GET", f"{API}/traces/{trace}/info", None),
        ("POST", f"{three}/traces/search", _searched(hers.experiment)),
        ("GET", f"{API}/traces?experiment_ids={hers.experiment}", None),
        ("POST", f"{three}/traces/metrics", {"experiment_ids": [hers.experiment], "view_type": "TRACES"}),
        ("PATCH", f"{three}/traces/{trace}/tags", tag),
        ("POST", f"{three}/traces/{trace}/assessments", {"assessment": {"assessment_name": "x"}}),
        ("POST", f"{three}/traces/delete-traces", {"experiment_id": hers.experiment, "request_ids": [trace]}),
        ("POST", f"{API}/traces/link-to-run", {"run_id": hers.run, "trace_ids": [trace]}),
        ("GET", f"{models}/{model}", None),
        ("PATCH", f"{models}/{model}", {"model_id": model, "status": "LOGGED_MODEL_READY"}),
        ("PATCH", f"{models}/{model}/tags", {"tags": [tag]}),
        ("DELETE", f"{models}/{model}", None),
        ("POST", f"{models}/search", {"experiment_ids": [hers.experiment]}),
        ("GET", f"{models}/{model}/artifacts/directories", None),
        ("GET", f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files?artifact_file_path=x", None),
        ("GET", f"{sets}/{dataset}", None),
        ("GET", f"{sets}/{dataset}/records", None),
        ("POST", f"{sets}/{dataset}/records", {"records": "[]"}),
        ("PATCH", f"{sets}/{dataset}/tags", {"tags": json.dumps({"note": "bobs"})}),
        ("DELETE", f"{sets}/{dataset}", None),
        ("POST", f"{sets}/search", {"experiment_ids": [hers.experiment]}),
        ("POST", f"{sets}/{dataset}/add-experiments", {"experiment_ids": [hers.experiment]}),
        ("GET", f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={hers.run}&metric_key=m", None),
        (
            "GET",
            f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={hers.run}&metric_key=m",
            None,
        ),
        ("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": [hers.experiment]}),
        ("POST", f"{API}/runs/log-inputs", {"run_id": hers.run, "datasets": []}),
        ("POST", f"{API}/runs/log-model", {"run_id": hers.run, "model_json": "{}"}),
        ("GET", f"{API}/model-versions/search?filter=run_id%3D%27{hers.run}%27", None),
    ]
    for attempt in attempts:
        seen = mlflow.call("bob", *attempt)
        assert SECRET.encode() not in seen.body, (attempt, seen)
        assert hers.place.encode() not in seen.body, (attempt, seen)
    mlflow.call(
        "bob",
        "POST",
        "/v1/traces",
        data=_spans(hers.experiment, "tr-" + "ef" * 16, "bobs")[0],
        headers=more.span[1],
    )
    left = {
        path: mlflow.call("alice", "GET", path) for path in (own, f"{models}/{model}", f"{sets}/{dataset}")
    }
    control("alice still has all of it", all(SECRET.encode() in seen.body for seen in left.values()))
    assert b"bobs" not in b"".join(seen.body for seen in left.values())
    hers_now = mlflow.call("alice", "POST", f"{three}/traces/search", _searched(hers.experiment))
    assert (b"abab" in hers_now.body, b"efef" in hers_now.body) == (True, False), hers_now


def _searched(experiment: str) -> dict[str, Any]:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    return {"locations": [place], "max_results": 10}


@pytest.mark.proves("C09")
def test_c09_a_forged_workspace_is_refused(mlflow: MlflowServer, hers: Alices, control: Control) -> None:
    """Naming alice's workspace, or the default one, by header is refused; she may name it."""
    path, other = f"{API}/runs/get?run_id={hers.run}", {"X-MLFLOW-WORKSPACE": workspace_of("alice")}
    control("alice may name her own", mlflow.call("alice", "GET", path, headers=other).status == 200)
    for named in (workspace_of("alice"), "default", f"{workspace_of('bob')},{workspace_of('alice')}"):
        seen = mlflow.call("bob", "GET", path, headers={"X-MLFLOW-WORKSPACE": named})
        assert (seen.status, seen.code) == (403, "tracking.other_workspace")
    for user in ("Alice", "alice/", "u-alice", "alice-"):
        assert workspace_of(user) != workspace_of("alice")


@pytest.mark.proves("C09")
def test_c09_models_and_sources_of_others_are_refused(
    mlflow: MlflowServer, hers: Alices, control: Control
) -> None:
    """A version from alice's files, a bucket, a local path or another server is refused."""
    control("alice registers her own", hers.version.status == 200)
    mlflow.call("bob", "POST", f"{API}/registered-models/create", {"name": "model-of-bob"})
    sources = [
        f"mlflow-artifacts:/{hers.place}",
        f"MLFLOW-ARTIFACTS:/{hers.place}",
        f"mlflow-artifacts://elsewhere.example/{hers.place}",
        f"mlflow-artifacts:/workspaces/{workspace_of('bob')}/../{workspace_of('alice')}/1",
        f"mlflow-artifacts:/workspaces/{workspace_of('bob')}/%2e%2e/{workspace_of('alice')}/1",
        f"runs:/{hers.run}/model",
        "models:/model-of-alice/1",
        *("s3://other/secret", "file:///etc", "/etc/passwd", "http://169.254.169.254/x", ""),
    ]
    for source in sources:
        body = {"name": "model-of-bob", "source": source, "run_id": hers.run}
        assert mlflow.call("bob", "POST", f"{API}/model-versions/create", body).status >= 400, source
    for method, path, body in (
        ("GET", f"{API}/registered-models/get?name=model-of-alice", None),
        ("GET", f"{API}/model-versions/get?name=model-of-alice&version=1", None),
        ("GET", f"{API}/model-versions/get-download-uri?name=model-of-alice&version=1", None),
        ("DELETE", f"{API}/registered-models/delete", {"name": "model-of-alice"}),
        (
            "POST",
            f"{API}/registered-models/alias",
            {"name": "model-of-alice", "alias": "champion", "version": "1"},
        ),
    ):
        assert _closed(mlflow.call("bob", method, path, body)), path
    found = mlflow.call("bob", "GET", f"{API}/registered-models/search")
    assert b"model-of-alice" not in found.body


@pytest.mark.proves("C09")
@pytest.mark.parametrize(
    "body",
    [
        {"name": "p", "artifact_location": "file:///etc"},
        {"name": "p", "artifactLocation": "s3://other/"},
        {"name": "p", "artifact_location": "mlflow-artifacts:/workspaces/other"},
        {"name": "p", "Artifact_Location": "/etc"},
        {"name": "p", "tags": [{"key": "mlflow.artifactLocation", "value": "file:///etc"}]},
    ],
)
def test_c09_a_client_chooses_no_place(mlflow: MlflowServer, control: Control, body: dict[str, Any]) -> None:
    """An experiment whose artifacts would lie where the client says is refused, however it is written."""
    plain = mlflow.call("bob", "POST", f"{API}/experiments/create", {"name": f"plain-{body!r}"[:40]})
    control("without a place it is made", plain.status == 200 or b"ALREADY_EXISTS" in plain.body)
    seen = mlflow.call("bob", "POST", f"{API}/experiments/create", body)
    assert (seen.status, seen.code) == (403, "tracking.client_place")


@pytest.mark.proves("C09")
def test_c09_a_trace_cannot_point_elsewhere(mlflow: MlflowServer) -> None:
    """The tag by which MLflow finds a trace's file cannot be set to another's, when it is made or later."""
    place = {
        "key": "mlflow.artifactLocation",
        "value": f"mlflow-artifacts:/workspaces/{workspace_of('alice')}/1",
    }
    trace = {"trace": {"trace_info": {"trace_id": "tr-1", "tags": {place["key"]: place["value"]}}}}
    attempts = [
        ("PATCH", "/api/3.0/mlflow/traces/tr-1/tags", place),
        ("PATCH", "/api/2.0/mlflow/traces/tr-1/tags", place),
        ("POST", "/api/3.0/mlflow/traces", trace),
        ("POST", "/api/2.0/mlflow/traces", {"experiment_id": "1", "tags": [place]}),
    ]
    for attempt in attempts:
        seen = mlflow.call("bob", *attempt)
        assert (seen.status, seen.code) == (403, "tracking.client_place"), attempt
    for path in (
        "/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-1",
        "/ajax-api/3.0/mlflow/get-trace-artifact",
    ):
        assert mlflow.call("bob", "GET", path).code == "tracking.not_open"


@pytest.mark.proves("C09")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/3.0/mlflow/workspaces"),
        ("GET", "/ajax-api/3.0/mlflow/workspaces"),
        ("POST", "/api/3.0/mlflow/workspaces"),
        ("GET", f"/api/3.0/mlflow/workspaces/{workspace_of('alice')}"),
        ("DELETE", f"/api/3.0/mlflow/workspaces/{workspace_of('alice')}"),
        ("GET", "/api/2.0/mlflow/users/list"),
        ("POST", "/api/2.0/mlflow/users/create"),
        ("GET", "/api/2.0/mlflow/webhooks"),
        ("POST", "/api/2.0/mlflow/webhooks"),
        ("GET", "/api/3.0/mlflow/gateway/secrets/list"),
        ("POST", "/gateway/any/mlflow/invocations"),
        ("POST", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/ajax-api/3.0/jobs/"),
        ("POST", "/api/3.0/mlflow/prompt-optimization/jobs"),
        ("POST", "/ajax-api/3.0/mlflow/scorer/invoke"),
        ("GET", "/api/3.0/mlflow/mcp-servers"),
        ("POST", "/graphql"),
        ("GET", "/"),
        ("GET", "/metrics"),
        ("POST", "//api/2.0/mlflow/experiments/create"),
    ],
)
def test_c09_what_lists_people_or_acts_for_them_is_closed(
    mlflow: MlflowServer, control: Control, method: str, path: str
) -> None:
    """Workspaces, users, webhooks, the LLM gateway, jobs and whatever else is not listed answer 403."""
    control("what is open answers", mlflow.call("bob", "GET", "/api/3.0/mlflow/server-info").status == 200)
    seen = mlflow.call("bob", method, path, data=b"{}" if method != "GET" else None)
    assert (seen.status, seen.code in ("tracking.not_open", "tracking.bad_path")) == (403, True), seen


def test_both_people_may_use_one_name(mlflow: MlflowServer) -> None:
    """Nobody can take the name of an experiment away from somebody else."""
    for user in ("alice", "bob"):
        made = mlflow.call(user, "POST", f"{API}/experiments/create", {"name": "e1"})
        assert made.status == 200, made


@pytest.mark.parametrize("body", [b"[]", b'"{}"', b"1", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(mlflow: MlflowServer, body: bytes) -> None:
    """A list, a string of JSON, half a document and a deep one are refused before MLflow sees them."""
    seen = mlflow.call(
        "bob", "POST", f"{API}/runs/search", data=body, headers={"Content-Type": "application/json"}
    )
    assert (seen.status in (400, 403), seen.code) == (True, "tracking.bad_body")


def test_the_server_says_whose_run_it_is(mlflow: MlflowServer) -> None:
    """A run carries user and sandbox by the server's word; a client's own claim is not kept."""
    run, _ = mlflow.run_of("alice", "tagged")
    got = mlflow.call("alice", "GET", f"{API}/runs/get?run_id={run}").document["run"]
    tags = {tag["key"]: tag["value"] for tag in got["data"]["tags"]}
    assert tags["sandbox.user"] == tags["mlflow.user"] == got["info"]["user_id"] == "alice"
    assert tags["sandbox.id"] == mlflow.door("alice")["X-Sandbox-Id"]
    experiment = got["info"]["experiment_id"]
    forged = {"experiment_id": experiment, "user_id": "bob", "tags": [{"key": "mlflow.user", "value": "bob"}]}
    made = mlflow.call("alice", "POST", f"{API}/runs/create", forged).document["run"]
    assert made["info"]["user_id"] == "alice"
    for path, body in (
        ("set-tag", {"run_id": run, "key": "sandbox.user", "value": "bob"}),
        ("set-tag", {"run_id": run, "key": "SANDBOX.user", "value": "bob"}),
        ("delete-tag", {"run_id": run, "key": "sandbox.user"}),
        ("log-batch", {"run_id": run, "tags": [{"key": "sandbox.id", "value": "x"}]}),
        ("create", {"experiment_id": experiment, "tags": [{"key": "sandbox.x", "value": "y"}]}),
    ):
        seen = mlflow.call("alice", "POST", f"{API}/runs/{path}", body)
        assert (seen.status, seen.code) == (403, "tracking.reserved_tag"), path
