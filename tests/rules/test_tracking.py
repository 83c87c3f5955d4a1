"""Which calls of MLflow are open, and what may a document not say?"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import RefusedError
from jupyter_sandbox_spawner.rules.catalogue import ZONES
from jupyter_sandbox_spawner.rules.tracking import (
    Call,
    Visitor,
    check_workspace,
    checked_document,
    decide,
    runs_named,
    workspace_of,
)

ADA = Visitor(user="ada", server="", sandbox="sb-aaaaaaaaaaaaaaaaaaaa")
RUNS = Call(kind="json", resource="runs", verb="create")
PATTERN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # MLflow's own


def code(act: Any) -> str:
    """The code of a refusal; empty where there is none."""
    try:
        act()
    except RefusedError as error:
        return error.code
    return ""


@given(st.text(min_size=1, max_size=200))
def test_every_name_has_a_workspace_that_mlflow_takes(user: str) -> None:
    """Whatever the hub calls a person, the workspace fits MLflow's pattern and is none of its own names."""
    name = workspace_of(user)
    assert PATTERN.fullmatch(name)
    assert 2 <= len(name) <= 63
    assert name not in {"default", "workspaces", "api", "ajax-api", "static-files"}


@given(st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_two_people_never_share_one(one: str, other: str) -> None:
    """Different names give different workspaces, however alike they look."""
    assert (workspace_of(one) == workspace_of(other)) == (one == other)


@given(st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_each_zone_has_a_workspace_of_its_own(one: str, other: str) -> None:
    """A person's zones share no workspace, and no other person's name gives one of them."""
    names = [workspace_of(one, zone) for zone in ZONES]
    assert len(set(names)) == len(ZONES)
    assert all(PATTERN.fullmatch(name) and len(name) <= 63 for name in names)
    assert one == other or set(names).isdisjoint(workspace_of(other, zone) for zone in ZONES)
    assert Visitor(user=one, zone="phi").workspace == workspace_of(one, "phi")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/2.0/mlflow/runs/create", "json"),
        ("POST", "/ajax-api/2.0/mlflow/runs/create", "json"),
        ("GET", "/api/3.0/mlflow/traces/tr-1", "json"),
        ("GET", "/api/3.0/mlflow/server-info", "json"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/a b/ü.txt", "artifact"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts", "artifact"),
        ("POST", "/v1/traces", "plain"),
        ("GET", "/version", "plain"),
    ],
)
def test_what_a_client_needs_is_open(method: str, path: str, kind: str) -> None:
    """Runs, traces, artifacts and the client's own questions, by both names of the API."""
    assert decide(method, path).kind == kind


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/graphql", "/get-artifact", "/static-files/x", "/gateway/x", "/api", "/api/2.0/mlflow"),
        "/api/2.0/mlflow/users/list",
        "/api/4.0/mlflow/runs/create",
        "/API/2.0/mlflow/runs/create",
        "/api/2.0/mlflow/runs/create-promptlab-run",
        "/api/2.0/mlflow/runs/create/",
        "/api/2.0/mlflow/artifacts/presigned-upload-url",
        "/api/3.0/mlflow/workspaces",
        "/api/2.0/mlflow-artifacts/mpu/create/x",
        "/api/2.0/mlflow-artifacts",
        *(
            "//api/2.0/mlflow/runs/create",
            "/api/2.0/mlflow/../mlflow/runs/create",
            "/api/2.0/mlflow/runs%2Fcreate",
        ),
        *("/api/2.0/mlflow/runs\\create", "/api/2.0/mlflow/runs/create\0", "", "api/2.0/mlflow/runs/create"),
    ],
)
def test_everything_else_is_closed(path: str) -> None:
    """What is not on the list, and every path that can be read twice, is refused."""
    assert code(lambda: decide("POST", path)).startswith("tracking.")


@given(st.text(max_size=80))
def test_no_path_crashes_the_decision(path: str) -> None:
    """Any text is either a call or a refusal with a code."""
    assert code(lambda: decide("GET", path)) in (
        "",
        "tracking.bad_path",
        "tracking.not_open",
        "tracking.write_once",
    )


def test_a_workspace_may_be_ones_own_or_none() -> None:
    """No header, an empty one and the own name pass; another's and a list do not."""
    for named in (None, "", " ", workspace_of("ada")):
        check_workspace(ADA, named)
    for named in (workspace_of("bob"), "default", f"{workspace_of('ada')},default"):
        assert code(lambda named=named: check_workspace(ADA, named)) == "tracking.other_workspace"


def test_a_new_run_says_whose_it_is() -> None:
    """The server's tags replace the client's of the same name and leave the others."""
    given = {"userId": "bob", "tags": [{"key": "mlflow.user", "value": "jovyan"}, {"key": "a", "value": "b"}]}
    found = checked_document(ADA, RUNS, given)
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    assert tags == {"a": "b", "mlflow.user": "ada", "sandbox.user": "ada", "sandbox.id": ADA.sandbox}
    assert (found["user_id"], "userId" in found) == ("ada", False)


@pytest.mark.parametrize(
    "document",
    [
        {"artifact_location": "/etc"},
        {"artifactLocation": "/etc"},
        {"ARTIFACT_LOCATION": "/etc"},
        {"a": [{"b": {"artifact_location": "x"}}]},
        {"default_artifact_root": "s3://x"},
        {"key": "mlflow.artifactLocation", "value": "file:///etc"},
        {"tags": {"mlflow.artifactLocation": "file:///etc"}},
        {"tags": [{"key": "MLFLOW.ARTIFACTLOCATION"}]},
        {"key": "mlflow.trace.archiveLocation"},
    ],
)
def test_no_document_names_a_place(document: dict[str, Any]) -> None:
    """At any depth and in any spelling that protobuf or a database takes for the same."""
    call = Call(kind="json", resource="experiments", verb="create")
    assert code(lambda: checked_document(ADA, call, document)) == "tracking.client_place"
    empty = {"name": "x", "artifact_location": ""}
    assert checked_document(ADA, call, empty) == empty


def test_a_source_names_its_runs() -> None:
    """Every run that a version is said to come from is found, in both spellings."""
    call = Call(kind="json", resource="model-versions", verb="create")
    assert runs_named(call, {"source": "runs:/a/model", "run_id": "b", "runId": "c"}) == {"a", "b", "c"}
    assert runs_named(call, {"source": "models:/m-1"}) == frozenset()
    assert runs_named(RUNS, {"run_id": "b"}) == frozenset()
