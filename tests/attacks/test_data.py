"""Is guarded data mounted without approval, or carried out of its zone? Attack D01, in a house with data."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub_config.demo.running import RunningSite
from hub_config.demo.tracking import wait_until_ready
from jupyter_sandbox_spawner.clients.datasets import DatasetsClient
from tests.support.backend_choice import chosen_backend
from tests.support.house import PROFILES, House, open_house

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("tracking")
WHY = "The study needs them."

STUDY = """
  - display_name: Study
    slug: study
    sandbox:
      cpu: 1
      memory: 768M
      ttl: 24h
      egress: ["pkg.sandbox.internal:80", "example.org:443"]
      datasets: [cases]
datasets:
  - id: cases
    version: "1"
    uri: file://{place}
    manifest: {manifest}
    tags: [phi]
    owner: admin
    purpose: Trial
"""

# Everywhere that code and people can write; each attempt says whether it could.
COPY = """
marker = {marker}
def put(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write(marker)
    return open(path).read() == marker
for name in ("home/jovyan/plain", "home/jovyan/.cache/deep/hidden", "home/jovyan/.ipython/startup", "tmp/x",
             "dev/shm/x", "var/tmp/x", "run/jupyter/x", "data/x", "data/cases/x"):
    attempt(name, lambda: put(f"/{{name}}" + ".txt"))
def track():
    import mlflow
    with mlflow.start_run():
        mlflow.log_param("marker", marker)
        mlflow.set_tag("marker", marker)
        mlflow.log_text(marker, "marker.txt")
    return True
attempt("mlflow", track)
# Two places that are refused by name, and so come into the audit, which all of a person's servers may read.
def refused_host():
    with socket.create_connection(("127.0.0.1", 3128), 10) as connection:
        connection.settimeout(10)
        target = f"{{marker}}.example:443"
        connection.sendall(f"CONNECT {{target}} HTTP/1.1\\r\\nHost: {{target}}\\r\\n\\r\\n".encode())
        return connection.recv(100).decode("latin-1").split()[1]
def refused_path():
    from jupyter_sandbox_spawner.singleuser.door import ask
    return ask("/" + marker)
attempt("refused host", refused_host)
attempt("refused path", refused_path)
"""

# Everywhere again, by content: files, runs, artifacts, lines of the audit.
SEARCH = """
marker = {marker}.encode()
def files():
    found = []
    for top in ("/home", "/tmp", "/dev/shm", "/var/tmp", "/run/jupyter", "/data", "/mnt", "/srv", "/media"):
        for directory, _, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                try:
                    content = open(path, "rb").read()
                except OSError:
                    continue
                if marker in content:
                    found.append(path)
    return found
def runs():
    import mlflow
    client, found = mlflow.MlflowClient(), []
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            text = str(run.to_dictionary())
            for item in client.list_artifacts(run.info.run_id):
                text += mlflow.artifacts.load_text(run.info.artifact_uri + "/" + item.path)
            if marker.decode() in text:
                found.append(run.info.run_id)
    return found
def audit():
    from jupyter_sandbox_spawner.singleuser.door import ask
    found, path = [], "/audit"
    while path:
        document = ask(path)
        found += [line["action"] for line in document["items"] if marker.decode() in json.dumps(line)]
        path = f"/audit?before={{document['next']}}" if document["next"] else ""
    return found
attempt("files", files)
attempt("runs", runs)
attempt("audit", audit)
attempt("mounted", lambda: os.path.exists("/data/cases"))
"""


@dataclass(frozen=True)
class Data:
    """A house whose file lists one dataset, and the words in its file."""

    house: House
    marker: str

    def say(self, verb: str, body: Any, token: str = "") -> Any:
        """An admin's command about the dataset: by the socket, or with a person's token."""

        async def ask() -> Any:
            client = DatasetsClient(self.house.site, token)
            try:
                return await client.ask(verb, "cases", body)
            finally:
                await client.close()

        return self.house.wait(ask())

    def attack(self, code: str, marker: str) -> dict[str, dict[str, Any]]:
        """Run attempts in alice's notebook with a marker's text."""
        return self.house.attack("alice", code.format(marker=repr(marker)), timeout=120)

    def start(self, profile: str) -> None:
        """Alice's server under this profile, anew."""
        if self.house.sandbox("alice") is not None:
            self.house.stop("alice")
        self.house.server("alice", profile)

    def decisions(self) -> list[tuple[str, str, list[str]]]:
        """What the audit says of the dataset's mounts, oldest first."""
        lines = self.house.ask_control(lambda client: client.audit(user="alice", limit=500))["items"]
        return [
            (line["outcome"], line.get("code", ""), line["detail"]["tags"])
            for line in reversed(lines)
            if line["action"] == "dataset.mount"
        ]


@pytest.fixture(scope="module")
def data(
    clean_environ: None, evidence: Callable[[str, Callable[[], str]], Callable[[], None]]
) -> Iterator[Data]:
    """The house, with a dataset of patients."""
    place = Path(tempfile.mkdtemp(prefix="cases", dir="/tmp"))
    place.chmod(0o777)
    marker = "patient-" + secrets.token_hex(16)
    (place / "patients.csv").write_text(f"name,{marker}\n")
    digest = hashlib.sha256((place / "patients.csv").read_bytes()).hexdigest()
    (place / "MANIFEST.sha256").write_text(f"{digest}  patients.csv\n")
    for file in place.iterdir():
        file.chmod(0o666)  # nothing but the mount keeps it from being written
    manifest = hashlib.sha256((place / "MANIFEST.sha256").read_bytes()).hexdigest()
    profiles = "\n".join(f"  {line}" for line in PROFILES.read_text().splitlines())
    book = Path(tempfile.mkdtemp(prefix="book", dir="/tmp")) / "profiles.yaml"
    book.parent.chmod(0o755)
    book.write_text("profiles:\n" + profiles + STUDY.format(place=place, manifest=manifest))
    book.chmod(0o644)
    try:
        with (
            chosen_backend() as variables,
            open_house(profiles=book, variables=variables, prepare=_add_second_admin) as house,
        ):
            forget = evidence("the house with data", house.running.log)
            try:
                yield Data(house, marker)
            finally:
                forget()
    finally:
        shutil.rmtree(place)
        shutil.rmtree(book.parent)


def _add_second_admin(running: RunningSite) -> None:
    """Two people need two admins; the second has the first one's password."""
    file = running.root / "users.json"
    users = json.loads(file.read_text())
    file.write_text(json.dumps({**users, "second": users["admin"]}))
    running.passwords["second"] = running.passwords["admin"]


@pytest.mark.timeout(900)
@pytest.mark.proves("D01")
def test_d01_guarded_data_stays_in_its_zone(data: Data, control: Control) -> None:
    """Without two people's word the data is not there; with it read-only; and nothing of it gets out."""
    _without_approval(data)
    _with_approval(data, control)
    copied = data.attack(COPY, data.marker)
    written = {name for name, seen in copied.items() if seen.get("value") in (True, "True")}
    control(
        "home, /tmp and MLflow are written in the zone", {"home/jovyan/plain", "tmp/x", "mlflow"} <= written
    )
    assert written.isdisjoint({"data/x", "data/cases/x"}), copied
    control("a refused host and a refused path are in the audit", len(_audited(data, data.marker)) == 2)
    _contents(data, "zone.txt", data.marker)

    data.start("small")
    seen = data.attack(SEARCH, data.marker)
    assert seen["files"]["value"] == [], seen
    assert seen["runs"]["value"] == [], seen
    assert seen["audit"].get("value") == [], seen
    assert seen["mounted"]["value"] in (False, "False"), seen
    assert data.marker not in _contents(data)

    other = "ordinary-" + secrets.token_hex(16)
    data.attack(COPY, other)
    _contents(data, "ordinary.txt", other)
    data.start("small")
    found = data.attack(SEARCH, other)
    control("the same in the ordinary home is found", len(found["files"]["value"]) >= 3)
    control("the same in the ordinary workspace is found", len(found["runs"]["value"]) == 1)
    control("the same in the audit is found", len(found["audit"]["value"]) == 2)
    control("the same by the contents API is found", other in _contents(data))


def _without_approval(data: Data) -> None:
    """Check 38: one person's word does not mount it, seen from inside; the audit has the decision."""
    data.house.wait(wait_until_ready(data.house.running), 180)
    wish = {"user": "alice", "until": "2099-01-01", "why": WHY}
    with pytest.raises(Exception, match="does not count"):
        data.say("approve", wish)
    token = data.house.wait(data.house.visitor("admin").token())
    assert data.say("approve", wish, token) == {"done": False, "tag": "phi"}
    with pytest.raises(Exception, match="second person"):
        data.say("approve", wish, token)
    data.start("study")
    seen = data.attack(SEARCH, data.marker)
    assert seen["mounted"]["value"] in (False, "False"), seen
    assert seen["files"]["value"] == [], seen
    assert data.decisions() == [("denied", "dataset.not_approved", ["phi"])]


def _with_approval(data: Data, control: Control) -> None:
    """A second person: mounted, read-only, in a zone that shows itself, with everything narrowed."""
    token = data.house.wait(data.house.visitor("second").token())
    second = data.say("approve", {"user": "alice", "until": "2099-01-01", "why": WHY}, token)
    assert second == {"done": True, "tag": "phi"}
    data.start("study")
    seen = data.attack(
        SEARCH
        + """
def remade():
    open("/data/cases/patients.csv", "a").write("x")
attempt("written", remade)
attempt("removed", lambda: os.remove("/data/cases/patients.csv"))
for question in ("datasets", "status"):
    attempt(question, lambda: get_ipython().run_line_magic("sandbox", question + " --json"))
""",
        data.marker,
    )
    control("the data is there", "/data/cases/patients.csv" in seen["files"]["value"])
    assert (seen["written"]["errno"], seen["removed"]["errno"]) == ("EROFS", "EROFS"), seen
    assert (seen["datasets"]["ok"], seen["status"]["ok"]) == (True, True), seen
    told, status = (seen[name]["value"] for name in ("datasets", "status"))
    assert told["zone"] == "phi"
    assert [(item["name"], item["path"], item["read_only"]) for item in told["mounted"]] == [
        ("cases@1", "/data/cases", True)
    ]
    assert status["allowed"] == ["pkg.sandbox.internal:80"]
    assert status["downloads"] is False
    assert 0 < status["time"]["left"] <= 8 * 3600
    assert status["time"]["extension"]["possible"] is False
    assert data.decisions()[-1] == ("allowed", "", ["phi"])


def _audited(data: Data, marker: str) -> list[str]:
    """What of alice's lines has a marker by now, for an admin; the gateway's words come with a delay."""
    found: list[str] = []
    for _ in range(100):
        lines = data.house.ask_control(lambda client: client.audit(user="alice", limit=500))["items"]
        found = [line["action"] for line in lines if marker in json.dumps(line)]
        if len(found) >= 2:
            break
        time.sleep(0.1)  # a line gives no event
    return found


def _contents(data: Data, name: str = "", text: str = "") -> str:
    """Write a file by the contents API, or all that it lists, with every file's text."""
    visitor = data.house.visitor("alice")
    if name:
        body = {"type": "file", "format": "text", "content": text}
        data.house.wait(visitor.call("PUT", visitor.server(f"api/contents/{name}"), body))
        return ""
    listed = data.house.wait(visitor.call("GET", visitor.server("api/contents/")))
    texts = [
        data.house.wait(visitor.call("GET", visitor.server(f"api/contents/{item['path']}")))
        for item in listed["content"]
        if item["type"] == "file"
    ]
    return json.dumps([listed, texts])
