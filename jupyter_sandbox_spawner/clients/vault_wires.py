"""How does a call to Vault end in time, whatever the other side does? By cutting its connection.

Law: a timeout of the `requests` library counts from byte to byte, so an answer that drips would hold a thread
for ever; a call that is over its deadline has its socket shut down, and the thread is free again.
No redirect is followed, and nothing of the environment (proxies, netrc, VAULT_*) is used.
"""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

__all__ = ["Wire", "Wires"]


class Wire:
    """One connection to Vault, kept for the next call.

    `status` and `retry_after` (seconds) are the last answer's.
    """

    def __init__(self, verify: str | bool) -> None:
        self._socket: socket.socket | None = None
        self._cut = threading.Event()
        self.status = 0
        self.retry_after: float | None = None
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = verify
        self.session.hooks["response"].append(self._answered)
        adapter = _Adapter(self)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, adapter)

    @property
    def is_cut(self) -> bool:
        """Was it over its deadline?"""
        return self._cut.is_set()

    def connected(self, connection: socket.socket) -> None:
        """It has a socket now; one that comes too late is shut at once."""
        self._socket = connection
        if self.is_cut:
            _shut(connection)

    def cut(self) -> None:
        """End the call that is under way, from another thread."""
        self._cut.set()
        if self._socket is not None:
            _shut(self._socket)

    def close(self) -> None:
        """Close its connection."""
        self.session.close()

    def _answered(self, response: requests.Response, *args: Any, **kwargs: Any) -> None:
        self.status = response.status_code
        text = response.headers.get("Retry-After", "")
        self.retry_after = float(text) if text.isdigit() and len(text) < 6 else None


class Wires:
    """The idle ones; a wire that was cut is not used again."""

    def __init__(self, verify: str | bool) -> None:
        self._verify = verify
        self._idle: queue.LifoQueue[Wire] = queue.LifoQueue()

    def take(self) -> Wire:
        """An idle one, or a new one."""
        while True:
            try:
                wire = self._idle.get_nowait()
            except queue.Empty:
                return Wire(self._verify)
            # One may be cut in the moment after it was given back.
            if not wire.is_cut:
                return wire
            wire.close()

    def give(self, wire: Wire) -> None:
        """Keep it for the next call."""
        if wire.is_cut:
            wire.close()
        else:
            self._idle.put(wire)

    def close(self) -> None:
        """Close the idle ones."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return


class _Adapter(HTTPAdapter):
    """Tells its wire of every socket that is connected."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        wire = self._wire

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                wire.connected(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                wire.connected(self.sock)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It has ended by itself, which is what was wanted.
        return
