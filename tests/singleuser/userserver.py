"""How is a real single-user server run by a real pid 1, with a hub behind its API door?"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

from tests.lanes import VENVS
from tests.singleuser.sandbox import INSIDE, SECRET, Sandbox
from tests.singleuser.selfapi import ME

PREFIX = VENVS / "user"
STARTED = 90.0  # seconds for an ordinary start on a busy machine; alone it takes 8
BASE_URL = "/user/alice/"
SELF = "/services/sandbox/api/self"
CLAIMS = "/services/sandbox/api/self/claims"
ALICE = {
    "name": "alice",
    "kind": "user",
    "admin": False,
    "groups": [],
    "scopes": ["access:servers!server=alice/"],
}


class _Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    server: HubThatKnowsAlice

    def do_GET(self) -> None:
        if self.path == "/hub/api/user":
            token = self.headers.get("Authorization", "").partition(" ")[2]
            person = self.server.people.get(token, ALICE)
            self._answer(person or {}, 200 if person else 403)
            return
        self._answer(*self.server.answers.get(self.path, ({"version": "6.1.1"}, 200)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == CLAIMS:
            self.server.claims.append(json.loads(body))
        elif self.path in self.server.answers:
            self.server.wishes.append((self.path, json.loads(body)))
            self._answer(*self.server.answers[self.path])
            return
        self._answer(self.server.secrets.get(self.path, {}))

    def _answer(self, document: object, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "a unix socket"

    def log_message(self, *_arguments: Any) -> None:
        """The server's own log tells enough."""


class HubThatKnowsAlice(ThreadingMixIn, UnixStreamServer):
    """Answers on a unix socket what a single-user server asks its hub; tokens not in `people` are Alice's.

    `claims` are what it was told for control; `secrets` what the broker answers, by path; `answers` what
    anybody does, with a status; `wishes` what was posted to those; `people`: by token, None is nobody.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path) -> None:
        self.claims: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, tuple[dict[str, Any], int]] = {SELF: (ME, 200)}
        self.wishes: list[tuple[str, dict[str, Any]]] = []
        self.people: dict[str, dict[str, Any] | None] = {}
        super().__init__(str(path), _Hub)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close_for_good(self) -> None:
        """Answer nobody any more; no-op when closed."""
        if self.fileno() >= 0:
            self.shutdown()
            self.server_close()


class UserServer:
    """Alice's server in a sandbox whose home is a new directory."""

    def __init__(self, place: Sandbox, prefix: Path = PREFIX) -> None:
        self.place = place
        self.prefix = prefix
        self.home = place.doors.directory / "home"
        self.home.mkdir()
        self.api_port = place.reserve_port()
        self.hub = HubThatKnowsAlice(place.doors.directory / "api.sock")
        self.log: list[str] = []

    def environment(self, **changes: str) -> dict[str, str]:
        """What the hub puts into the boot document (see docs/reference on the inside)."""
        home, api = str(self.home), f"http://127.0.0.1:{self.api_port}/hub/api"
        return {
            "PATH": f"{self.prefix}/bin:/usr/bin:/bin",
            "HOME": home,
            "USER": "jovyan",
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "JUPYTERHUB_API_TOKEN": SECRET,
            "JUPYTERHUB_API_URL": api,
            "JUPYTERHUB_ACTIVITY_URL": f"{api}/users/alice/activity",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-alice",
            "JUPYTERHUB_DISABLE_USER_CONFIG": "1",
            "JUPYTERHUB_HOST": "",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=alice/"]',
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{BASE_URL}oauth_callback",
            "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!server=alice/"]',
            "JUPYTERHUB_SERVER_NAME": "",
            "JUPYTERHUB_SERVICE_PREFIX": BASE_URL,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.place.server_port}{BASE_URL}",
            "JUPYTERHUB_USER": "alice",
            "JUPYTERLAB_SETTINGS_DIR": f"{home}/.jupyter/lab/user-settings",
            "JUPYTERLAB_WORKSPACES_DIR": f"{home}/.jupyter/lab/workspaces",
            "JUPYTER_CONFIG_DIR": str(INSIDE / "etc/jupyter"),
            "JUPYTER_PATH": str(INSIDE / "share/jupyter"),
            # Those of this machine are other people's; in a sandbox /dev/pts is its own.
            "JUPYTER_SANDBOX_TERMINALS": str(self.place.doors.directory / "terminals"),
            "JUPYTER_RUNTIME_DIR": str(self.place.doors.directory / "runtime"),
            "PYTHONNOUSERSITE": "1",
            "PYTHONSAFEPATH": "1",
            **changes,
        }

    def start(self, **changes: str) -> None:
        """Boot, and return when the server has answered through the ingress door."""
        shell = [f"{self.prefix}/bin/python", "-I", "-B", str(INSIDE), "shell"]
        argv = [
            f"{self.prefix}/bin/jupyterhub-singleuser",
            f"--ServerApp.root_dir={self.home}",
            f"--ServerApp.terminado_settings={ {'shell_command': shell}!r}",
        ]
        if os.geteuid() == 0:
            argv.append("--allow-root")  # inside a sandbox it is uid 1000
        document = self.place.document(
            argv,
            environment=self.environment(**changes),
            working_directory=str(self.home),
            relay=[{"listen": self.api_port, "door": "api"}],
        )
        process = self.place.boot(document, python=f"{self.prefix}/bin/python")
        assert process.stderr is not None
        self._reader = threading.Thread(target=self.log.extend, args=(process.stderr,), daemon=True)
        self._reader.start()
        self.place.doors.taken("ingress", within=STARTED)

    def stop(self) -> int:
        """End the server as the launcher does; its exit status. Afterwards `log` is complete."""
        assert self.place.process is not None
        self.place.process.terminate()
        status = self.place.process.wait(STARTED)
        self._reader.join()
        return status

    def close(self) -> None:
        """Stop the hub."""
        self.hub.close_for_good()
