"""Which https server asks git, pip and twine for a login? A real one on loopback, which notes what came."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

__all__ = ["HttpsServer", "https_server"]


class HttpsServer(ThreadingHTTPServer):
    """`logins` are user and password that open it; `seen` is each request with the login that it showed.

    Below /git/ git's own server answers for the repositories of `root`; other paths answer from `pages`,
    and what is posted there is kept in `posted`.
    """

    daemon_threads = True

    def __init__(self, authority: trustme.CA, root: Path, logins: set[tuple[str, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.root = root
        self.logins = logins
        self.seen: list[tuple[str, tuple[str, str] | None]] = []
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.posted: list[bytes] = []

    @property
    def place(self) -> str:
        """Host and port as a grant names them."""
        return f"localhost:{self.server_port}"

    @property
    def shown(self) -> set[tuple[str, str]]:
        """The logins that were shown to it."""
        return {login for _, login in self.seen if login is not None}

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that does not trust it, or went away; what else went wrong is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, address)


class _Handler(BaseHTTPRequestHandler):
    server: HttpsServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raise NotImplementedError("small pushes have a length")
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        login = _login(self.headers.get("Authorization", ""))
        self.server.seen.append((f"{self.command} {self.path}", login))
        if login not in self.server.logins:
            self._send(401, [("WWW-Authenticate", 'Basic realm="test"')], b"who are you?")
        elif self.path.startswith("/git/"):
            self._git(body)
        elif self.command == "POST":
            self.server.posted.append(body)
            self._send(200, [], b"taken")
        else:
            kind, page = self.server.pages.get(self.path, ("text/plain", b""))
            self._send(200 if page else 404, [("Content-Type", kind)], page)

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.removeprefix("/git").partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "x",  # without it a push is refused
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True, timeout=60
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((int(text.split()[0]) for name, text in lines if name == "Status"), 200)
        self._send(status, [(name, text) for name, text in lines if name != "Status"], content)

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, text in (*headers, ("Content-Length", str(len(content)))):
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """The tests look at `seen`."""


def _login(header: str) -> tuple[str, str] | None:
    if not header.startswith("Basic "):
        return None
    raw = base64.b64decode(header.removeprefix("Basic "))
    # git writes a login in UTF-8, requests (of pip and twine) in Latin-1.
    for encoding in ("utf-8", "latin-1"):
        with suppress(UnicodeDecodeError):
            user, _, password = raw.decode(encoding).partition(":")
            return user, password
    return None


@contextmanager
def https_server(authority: trustme.CA, root: Path, *logins: tuple[str, str]) -> Iterator[HttpsServer]:
    """Serving until the end of the block."""
    server = HttpsServer(authority, root, set(logins))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
