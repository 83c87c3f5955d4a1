"""How do tests talk to a real MLflow behind its guard? The program, a hub that answers, its socket.

Law: a test speaks as the gateway does: over the unix socket, with the headers of a door.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from jupyter_sandbox_spawner.names import sandbox_id
from jupyter_sandbox_spawner.rules.tracking import workspace_of
from jupyter_sandbox_spawner.settings import Site, write_site
from tests.lanes import VENVS

__all__ = ["API", "Answer", "HubThatAnswers", "MlflowServer"]

SECRET = "s" * 40  # our service's token

API = "/api/2.0/mlflow"
_START = 120.0  # seconds; a busy machine imports MLflow slowly


@dataclass(frozen=True)
class Answer:
    """Status and body of one call."""

    status: int
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of one of our refusals; empty where it is MLflow's own answer."""
        try:
            return str(self.document.get("code", ""))
        except (ValueError, AttributeError):
            return ""


@dataclass
class HubThatAnswers:
    """`GET /hub/api/user` for tokens it knows; while `away` it cuts connections. `asked` counts.

    `codes` gives, once, a token for a code whose challenge the verifier meets (code: challenge and token).
    """

    owners: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One question."""

            def do_GET(self) -> None:
                """Say whose token it is."""
                hub.asked += 1
                if hub.away:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                owner = hub.owners.get(self.headers.get("Authorization", "").split(" ")[-1])
                body = json.dumps(owner or {"message": "Forbidden"}).encode()
                self.send_response(200 if owner else 403)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                """Give the token for a code to who has our service's secret."""
                if hub.away:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                length = int(self.headers["Content-Length"])
                form = {name: texts[0] for name, texts in parse_qs(self.rfile.read(length).decode()).items()}
                challenge, token = hub.codes.pop(form.get("code", ""), ("", ""))
                digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
                known = challenge == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                known = known and form["client_secret"] == SECRET and form["client_id"] == "service-mlflow"
                known = known and self.path == "/hub/api/oauth2/token"
                body = json.dumps({"access_token": token} if known else {"message": "no"}).encode()
                self.send_response(200 if known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def give(self, user: str, server: str = "", token: str = "") -> str:
        """A token of this user's server."""
        token = token or f"token-of-{quote(user, safe='')}-{server}"
        scopes = [f"custom:sandbox:self!server={user}/{server}", f"access:servers!server={user}/{server}"]
        self.owners[token] = {"name": user, "kind": "user", "scopes": scopes}
        return token

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MlflowServer:
    """The tracking program in a directory of its own."""

    def __init__(self, hub: HubThatAnswers) -> None:
        self.hub = hub
        self.root = Path(tempfile.mkdtemp(prefix="trk-", dir="/tmp").lower())
        self.root.mkdir(exist_ok=True)
        (self.root / "run").mkdir(mode=0o700)
        (self.root / "state").mkdir(mode=0o700)
        self.site = Site(
            run_dir=f"{self.root}/run",
            state_dir=f"{self.root}/state",
            profiles="",
            public_port=1,
            hub_port=hub.port,
            proxy_api_port=1,
            front_port=1,
            tracking=str(VENVS / "tracking"),
            tracking_url="/services/mlflow/",
        )
        write_site(self.root / "site.json", self.site)
        token = self.root / "run/mlflow.token"
        token.write_text(SECRET)
        token.chmod(0o600)
        self.pages = socket.create_server(("127.0.0.1", 0))
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds = 0.0

    def start(self) -> None:
        """Start the program and wait until it answers."""
        command = [f"{self.site.tracking}/bin/python", "-I", "-m", "jupyter_sandbox_spawner.tracking"]
        began = time.monotonic()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--site", str(self.root / "site.json"), "--public-fd", str(self.pages.fileno())],
                pass_fds=[self.pages.fileno()],
                cwd="/",
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": "/",
                    "MLFLOW_TRACKING_URI": "http://elsewhere.example",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not self._answers():
            late = time.monotonic() - began > _START
            assert (self.process.poll(), late) == (None, False), self.log()
            time.sleep(0.05)  # a socket that appears gives no event
        self.seconds = time.monotonic() - began

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/health", {}).status == 200
        except OSError:
            return False

    @property
    def log_file(self) -> Path:
        """Where it writes."""
        return self.root / "tracking.log"

    def log(self) -> str:
        """What it wrote."""
        return self.log_file.read_text()

    @property
    def artifacts(self) -> Path:
        """Where workspaces keep their artifacts."""
        return Path(self.site.tracking_dir, "artifacts/workspaces")

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
        timeout: float = 60.0,
    ) -> Answer:
        """One request exactly as written."""
        connection = http.client.HTTPConnection("mlflow.sandbox.internal", timeout=timeout)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        try:
            connection.sock.connect(self.site.tracking_socket)
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None or method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body or b"")
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def call(
        self,
        user: str,
        method: str,
        path: str,
        document: Any = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """A call of this user's default server, with its own token."""
        sent = self.door(user) | {"Authorization": f"Bearer {self.hub.give(user)}"}
        if document is not None:
            data = json.dumps(document).encode()
            sent["Content-Type"] = "application/json"
        return self.request(method, path, sent | (headers or {}), data)

    def door(self, user: str, server: str = "") -> dict[str, str]:
        """What the gateway says of a sandbox."""
        return {
            "X-Sandbox-Id": sandbox_id(user, server, "1"),
            "X-Sandbox-User": quote(user, safe=""),
            "X-Sandbox-Server": quote(server, safe=""),
        }

    def run_of(self, user: str, experiment: str = "work") -> tuple[str, str]:
        """A new run of this user; its id and its artifacts' path below the artifact route."""
        found = self.call(user, "GET", f"{API}/experiments/get-by-name?experiment_name={experiment}")
        if found.status == 200:
            number = found.document["experiment"]["experiment_id"]
        else:
            made = self.call(user, "POST", f"{API}/experiments/create", {"name": experiment})
            number = made.document["experiment_id"]
        made = self.call(user, "POST", f"{API}/runs/create", {"experiment_id": number, "start_time": 1})
        info = made.document["run"]["info"]
        place = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
        assert place.startswith(f"workspaces/{workspace_of(user)}/"), info
        return info["run_id"], place

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self) -> None:
        """End it and remove its directory."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.pages.close()
        shutil.rmtree(self.root)
