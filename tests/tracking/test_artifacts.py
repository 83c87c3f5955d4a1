"""Is an artifact what it was when it was logged, whoever tries what? Check 28."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.tracking.server import MlflowServer

Control = Callable[[str, bool], None]
ROUTE = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.mark.proves("C09")
def test_a_second_upload_changes_nothing(mlflow: MlflowServer, control: Control) -> None:
    """The same path again is 409 by every spelling that is understood, 403 by every other one."""
    _, place = mlflow.run_of("alice")
    first = mlflow.call("alice", "PUT", f"{ROUTE}/{place}/a.txt", data=b"first")
    control("the first upload is taken", first.status == 200)
    inside = place.split("/", 2)[2]
    again = [
        f"{ROUTE}/{place}/a.txt",
        f"/ajax-api/2.0/mlflow-artifacts/artifacts/{place}/a.txt",
        f"{ROUTE}/{place}/%61.txt",
        f"{ROUTE}/{inside}/a.txt",
        f"/%61pi/2.0/mlflow-artifacts/artifacts/{place}/a.txt",
    ]
    unclear = [
        f"/{ROUTE}/{place}/a.txt",
        f"{ROUTE}//{place}/a.txt",
        f"{ROUTE}/{place}//a.txt",
        f"{ROUTE}/{place}/./a.txt",
        f"{ROUTE}/{place}/x/../a.txt",
        f"{ROUTE}/{place}/%2561.txt",
        f"{ROUTE}/{place}/a.txt/",
        f"{ROUTE}/{place}%5ca.txt",
    ]
    for path in again:
        seen = mlflow.call("alice", "PUT", path, data=b"second")
        assert (seen.status, b"tracking.write_once" in seen.body) == (409, True), path
    for path in unclear:
        seen = mlflow.call("alice", "PUT", path, data=b"second")
        assert (seen.status, seen.code) == (403, "tracking.bad_path"), path
    assert mlflow.call("alice", "GET", f"{ROUTE}/{place}/a.txt").body == b"first"


@pytest.mark.proves("C09")
@pytest.mark.parametrize("family", ["api", "ajax-api"])
def test_nothing_is_deleted_or_uploaded_in_parts(mlflow: MlflowServer, control: Control, family: str) -> None:
    """DELETE, multipart, presigned uploads and the page's own upload are closed to the owner, too."""
    run, place = mlflow.run_of("alice")
    artifacts = f"/{family}/2.0/mlflow-artifacts"
    put = mlflow.call("alice", "PUT", f"{artifacts}/artifacts/{place}/b.txt", data=b"kept")
    control("the upload is taken", put.status == 200)
    form = f"run_uuid={run}&path=b.txt"
    attempts = [
        ("DELETE", f"{artifacts}/artifacts/{place}/b.txt"),
        ("DELETE", f"{artifacts}/artifacts/{place}"),
        ("POST", f"{artifacts}/artifacts/{place}/b.txt"),
        ("POST", f"{artifacts}/mpu/create/{place}/b.txt"),
        ("POST", f"{artifacts}/mpu/complete/{place}/b.txt"),
        ("POST", f"{artifacts}/mpu/abort/{place}/b.txt"),
        ("GET", f"{artifacts}/presigned/{place}/b.txt"),
        ("POST", f"/{family}/2.0/mlflow/artifacts/presigned-upload-url"),
        ("POST", f"/{family}/2.0/mlflow/upload-artifact?{form}"),
        ("POST", f"/{family}/2.0/mlflow/runs/create-promptlab-run"),
    ]
    for method, path in attempts:
        seen = mlflow.call("alice", method, path, data=b"{}")
        assert (seen.status, seen.code.split(".")[0]) == (403, "tracking"), (method, path, seen)
    assert mlflow.call("alice", "GET", f"{artifacts}/artifacts/{place}/b.txt").body == b"kept"


def test_of_twenty_uploads_at_once_one_wins(mlflow: MlflowServer) -> None:
    """Exactly one of twenty concurrent uploads is taken, and what is read is its bytes, whole."""
    _, place = mlflow.run_of("alice")
    bodies = [bytes([65 + number]) * 50_000 for number in range(20)]
    statuses: dict[int, int] = {}
    gate = threading.Barrier(20)

    def upload(number: int) -> None:
        gate.wait()
        path = f"{ROUTE}/{place}/race.bin"
        statuses[number] = mlflow.call("alice", "PUT", path, data=bodies[number]).status

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses.values()) == [200, *[409] * 19]
    (winner,) = [number for number, status in statuses.items() if status == 200]
    assert mlflow.call("alice", "GET", f"{ROUTE}/{place}/race.bin").body == bodies[winner]
    left = [path.name for path in mlflow.artifacts.rglob(".artifact.uploading.*")]
    assert left == []


def test_a_directory_is_no_file(mlflow: MlflowServer) -> None:
    """A name that is a directory already cannot become a file, nor a file a directory."""
    _, place = mlflow.run_of("alice")
    assert mlflow.call("alice", "PUT", f"{ROUTE}/{place}/d/x.txt", data=b"1").status == 200
    assert mlflow.call("alice", "PUT", f"{ROUTE}/{place}/d", data=b"2").status == 409
    assert mlflow.call("alice", "PUT", f"{ROUTE}/{place}/d/x.txt/y", data=b"3").status >= 400
    assert mlflow.call("alice", "GET", f"{ROUTE}/{place}/d/x.txt").body == b"1"
