"""Who listens elsewhere? A foreign host that notes each request, answers everybody and lets every page in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Sink", "foreign_host"]

PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


class Sink(ThreadingHTTPServer):
    """The host; `heard` are the paths that arrived, each without its first slash."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._arrived = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            """Answers everybody."""

            def do_GET(self) -> None:
                """Note it; a tiny picture comes back, or a page for who asks for one."""
                sink.note(self.path[1:])
                kind = "text/html" if self.path.endswith(".html") else "image/svg+xml"
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(b"<!doctype html><body>" if kind == "text/html" else PICTURE)

            def do_OPTIONS(self) -> None:
                """Every page may ask."""
                self.send_response(204)
                self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin", "*"))
                self.send_header("Access-Control-Allow-Credentials", "true")
                self.send_header("Access-Control-Allow-Headers", "*, X-XSRFToken")
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Silent."""

        super().__init__(("127.0.0.1", 0), Handler)

    def note(self, path: str) -> None:
        """Something arrived."""
        with self._arrived:
            self.heard.append(path)
            self._arrived.notify_all()

    def hears(self, path: str, timeout: float = 10.0) -> bool:
        """Wait until this arrives; False where it does not in time."""
        with self._arrived:
            return self._arrived.wait_for(lambda: path in self.heard, timeout)

    def url(self, path: str, scheme: str = "http") -> str:
        """Its address under a foreign name."""
        return f"{scheme}://elsewhere.localhost:{self.server_address[1]}/{path}"


@contextmanager
def foreign_host() -> Iterator[Sink]:
    """A foreign host for the block."""
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
