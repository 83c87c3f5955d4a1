"""What answers as Vault's wrapping API does? A small HTTP server on loopback, where a token opens once.

It follows the documentation of sys/wrapping; a real Vault is asked by test_real_vault.py.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["LOGIN_PATH", "VaultApi", "vault_api"]

LOGIN_PATH = "auth/jwt-sandbox/login"
_GONE = {"errors": ["wrapping token is not valid or does not exist"]}


class VaultApi(ThreadingHTTPServer):
    """`wrapped` maps a wrapping token to where it was made and what is in it; `asked` is what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wrapped: dict[str, tuple[str, dict[str, Any]]] = {}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.broken: tuple[int, dict[str, str], bytes] | None = None

    @property
    def address(self) -> str:
        """As the broker names it."""
        return f"http://127.0.0.1:{self.server_port}"

    def wrap(self, token: str, client_token: str, path: str = LOGIN_PATH) -> None:
        """Let this wrapping token hold a login."""
        auth = {"client_token": client_token, "accessor": "acc", "lease_duration": 900, "renewable": True}
        self.wrapped[token] = (path, {"auth": auth, "data": None})


class _Handler(BaseHTTPRequestHandler):
    server: VaultApi

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, dict(self.headers), body))
        if self.server.broken is not None:
            return self._send(*self.server.broken)
        status, document = self._answer(json.loads(body))
        return self._send(status, {}, json.dumps(document).encode())

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers), b""))
        self._send(200, {}, b"{}")

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, dict(self.headers), b""))
        self._send(403, {}, b"")

    def _answer(self, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if self.path == "/v1/sys/wrapping/lookup" and body["token"] in self.server.wrapped:
            path, _ = self.server.wrapped[body["token"]]
            return 200, {"data": {"creation_path": path, "creation_ttl": 60}}
        if self.path == "/v1/sys/wrapping/unwrap":
            found = self.server.wrapped.pop(self.headers.get("X-Vault-Token", ""), None)
            if found is not None:
                return 200, found[1]
        return 400, _GONE

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """The tests look at `asked`."""


@contextmanager
def vault_api() -> Iterator[VaultApi]:
    """Serving until the end of the block."""
    server = VaultApi()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
