"""What answers as control does, at the end of a sandbox's API door? A small HTTP server on loopback."""

from __future__ import annotations

import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SELF = "/jh/services/sandbox/api/self"
TOKEN = "canary-token-77aa"
ME: dict[str, Any] = {
    "id": "sb-aaaaaaaaaaaaaaaaaaaa",
    "user": "ada",
    "server": "",
    "profile": "small",
    "status": "ready",
    "admitted_at": "2026-11-25T08:00:00Z",
    "ready_at": "2026-11-25T08:00:04Z",
    "released_at": None,
    "deadline": "2026-11-25T16:00:00Z",
    "time_left": 2460.0,
    "idle_timeout": 3600,
    "stop": None,
    "now": "2026-11-25T15:19:00Z",
    "version": "0.1.0.dev0",
    "ttl": 28800,
    "lifetime": {
        "action": "keep",
        "code": "keep.within_limits",
        "why": "It runs until its time is up at 2026-11-25T16:00:00+00:00.",
        "ends_at": "2026-11-25T16:00:00Z",
        "idle_since": "2026-11-25T15:18:00Z",
        "signals": {"door_used_at": None, "cpu_used_at": None, "said_used_at": None, "busy": False},
    },
    "extension": {"possible": True, "until": "2026-11-25T16:19:00Z", "code": "", "message": ""},
    "limits": {"cpu": 2.0, "memory": 2 << 30, "pids": 512},
    "runtime": "runc",
    "isolation": None,
    "egress": ["idx.test", "*.example.org:443"],
    "usage": {
        "cpu_seconds": 75.2,
        "memory": 300 << 20,
        "memory_peak": 1 << 30,
        "pids": 14,
        "log_bytes": 0,
        "oom_kills": 0,
    },
    "denials": 1,
    "last": None,
}
DENIED: dict[str, Any] = {
    "host": "example.com",
    "port": 443,
    "code": "egress.not_allowed",
    "rule": "",
    "count": 3,
    "first_at": "2026-11-25T15:00:00Z",
    "last_at": "2026-11-25T15:10:00Z",
}
REQUEST: dict[str, Any] = {
    "here": True,
    "id": 7,
    "sandbox": "sb-aaaaaaaaaaaaaaaaaaaa",
    "user": "ada",
    "server": "",
    "profile": "small",
    "groups": [],
    "host": "example.com",
    "port": 443,
    "why": "the data of the course",
    "status": "waiting",
    "asked_at": "2026-11-25T15:11:00Z",
    "decided_at": None,
    "decided_by": None,
    "answer": "",
    "scope": None,
    "until": None,
}
EGRESS: dict[str, Any] = {
    "allowed": ["idx.test", "*.example.org:443"],
    "denied": [DENIED],
    "requests": [REQUEST],
}


class SelfApi(ThreadingHTTPServer):
    """`answers` maps method and path to a status and a document (or bytes, or what makes the document);
    `asked` is what came. What `drops` names is answered with silence once.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.me = copy.deepcopy(ME)
        self.answers: dict[str, tuple[int, Any]] = {
            f"GET {SELF}": (200, self.me),
            f"GET {SELF}/egress": (200, copy.deepcopy(EGRESS)),
            f"POST {SELF}/egress/ask": (200, copy.deepcopy(REQUEST)),
            f"POST {SELF}/egress/withdraw": (200, {**REQUEST, "status": "withdrawn"}),
        }
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.drops: set[str] = set()
        self._asks_for_login = ""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def environment(self) -> dict[str, str]:
        """What a process in the sandbox has; its proxy is a port where nothing answers."""
        nowhere = "http://127.0.0.1:9"
        return {
            "JUPYTER_SANDBOX": "1",
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{self.server_port}/jh/hub/api",
            "JUPYTERHUB_API_TOKEN": TOKEN,
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere),
        }

    def asks_for_login(self, prefix: str) -> None:
        """Answer 401 below this path to whoever shows no login."""
        self._asks_for_login = prefix

    def closed(self, path: str, headers: Any) -> bool:
        """Is it below that path, without a login?"""
        prefix = self._asks_for_login
        return bool(prefix) and path.startswith(prefix) and "Authorization" not in headers

    def close(self) -> None:
        """Stop answering."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: SelfApi

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        what = f"{self.command} {self.path}"
        self.server.asked.append((what, dict(self.headers), body))
        if what in self.server.drops:
            self.server.drops.remove(what)
            self.close_connection = True
            return
        unknown = (404, {"code": "api.not_allowed", "message": "There is no such call."})
        status, document = self.server.answers.get(what, unknown)
        document = document() if callable(document) else document
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        if self.server.closed(self.path, self.headers):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="sandbox"')
        else:
            self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_arguments: Any) -> None:
        """The tests look at `asked`."""
