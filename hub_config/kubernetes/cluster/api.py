"""How do the test-only controllers ask the API server? Requests with a certificate, and followed lists."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable
from typing import Any

from .layout import Layout

__all__ = ["Api", "ApiError", "Followed"]

_PAUSE = 0.5  # seconds after an answer that says: ask again
Item = dict[str, Any]


class ApiError(Exception):
    """The API server refused; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """The API server of one cluster, as its administrator. Every call has a connection of its own."""

    def __init__(self, layout: Layout) -> None:
        self._address = layout.node_address
        self._tls = ssl.create_default_context(cafile=str(layout.authority / "ca.pem"))
        self._tls.load_cert_chain(layout.authority / "admin.pem", layout.authority / "admin-key.pem")

    def finds(self, path: str) -> bool:
        """Does a GET of this path succeed, now? An API server that does not answer finds nothing."""
        connection = self._connect(5)
        try:
            self._send(connection, "GET", path).read()
        except (OSError, ApiError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def ask(self, method: str, path: str, body: Item | None = None, timeout: float = 30) -> Item:
        """The decoded answer. Raises ApiError, OSError."""
        connection = self._connect(timeout)
        try:
            answer = self._send(connection, method, path, body)
            return dict(json.loads(answer.read()))
        finally:
            connection.close()

    def follow(self, path: str, version: str, seen: Callable[[Item], None]) -> None:
        """Tell every change of a list since `version`, until the server ends it. Raises ApiError, OSError."""
        connection = self._connect(None)
        try:
            answer = self._send(connection, "GET", f"{path}?watch=1&resourceVersion={version}")
            while line := answer.readline():
                seen(json.loads(line))
        finally:
            connection.close()

    def _connect(self, timeout: float | None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, 6443, context=self._tls, timeout=timeout)

    def _send(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: Item | None = None
    ) -> http.client.HTTPResponse:
        # A PATCH is what `kubectl apply --server-side` sends.
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            raise ApiError(answer.status, _words(answer.read().decode(errors="replace")))
        return answer


def _words(answer: str) -> str:
    """The sentence of a refusal."""
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer[:400]


class Followed:
    """A list of the API server, kept up to date by a thread; `changed` is called after every change of it."""

    def __init__(self, api: Api, path: str, changed: Callable[[], None]) -> None:
        self.items: dict[str, Item] = {}
        self.complete = threading.Event()
        self._api, self._path, self._changed = api, path, changed
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                answer = self._api.ask("GET", self._path)
                self.items = {item["metadata"]["uid"]: item for item in answer["items"]}
                self.complete.set()
                self._changed()
                self._api.follow(self._path, answer["metadata"]["resourceVersion"], self._see)
            except (OSError, ApiError, http.client.HTTPException, ValueError) as error:
                print(f"{self._path}: {error}; asking again", flush=True)
            pause.wait(_PAUSE)

    def _see(self, event: Item) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise ApiError(int(item.get("code", 500)), str(item.get("message")))
        items = dict(self.items)  # another thread may be reading the old one
        if kind == "DELETED":
            items.pop(item["metadata"]["uid"], None)
        elif kind in ("ADDED", "MODIFIED"):
            items[item["metadata"]["uid"]] = item
        self.items = items
        self._changed()
