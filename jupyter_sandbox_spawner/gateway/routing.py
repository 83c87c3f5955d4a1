"""Which sandbox does a request's path belong to? The longest prefix wins, compared segment by segment."""

from __future__ import annotations

import logging
from urllib.parse import unquote

from .sandbox import OpenSandbox

__all__ = ["RouteTable"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")
_DEEPEST = 32  # slashes looked at; a prefix has base URL, user and server only


class RouteTable:
    """Prefixes and the open sandboxes behind them. Paths are compared unescaped, as the proxy does."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, OpenSandbox] = {}

    def add(self, sandbox: OpenSandbox) -> None:
        """Route a prefix here; the newest sandbox of a server wins over a forgotten older one."""
        prefix = unquote(sandbox.entry.prefix)
        older = self._by_prefix.get(prefix)
        if older is not None and older is not sandbox:
            log.warning("%s takes the prefix %s from %s.", sandbox.id, prefix, older.id)
        self._by_prefix[prefix] = sandbox

    def remove(self, sandbox: OpenSandbox) -> None:
        """Route its prefix nowhere; no-op when another sandbox has it."""
        prefix = unquote(sandbox.entry.prefix)
        if self._by_prefix.get(prefix) is sandbox:
            del self._by_prefix[prefix]

    def find(self, target: bytes) -> OpenSandbox | None:
        """The sandbox for a request target in origin form; None when nobody has that prefix."""
        path = unquote(target.partition(b"?")[0].decode("latin-1"))
        if not path.startswith("/"):
            return None
        # `/user/name` without its last slash belongs to the server too, which redirects.
        path += "/"
        found = None
        end = 0
        for _ in range(_DEEPEST):
            end = path.find("/", end) + 1
            if end == 0:
                break
            found = self._by_prefix.get(path[:end], found)
        return found
