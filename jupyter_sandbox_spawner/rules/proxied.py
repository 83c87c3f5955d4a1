"""Which request does a sandbox want sent with a secret? The name, and the path as its client wrote it.

Law: a path has one spelling here: what a server could read as another path is refused, not repaired, and
the rest goes on byte for byte. The first `/proxy/` ends the name; no secret has that word in its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..secret_names import is_secret_name

__all__ = [
    "METHODS",
    "PathFault",
    "ProxiedCall",
    "path_fault",
    "proxied_call",
    "proxied_prefix",
    "secrets_path",
]

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
_SERVICE = "services/sandbox/api/secrets/"
_MARK = b"/proxy/"
_LONGEST = 6 << 10
# RFC 3986: what a path may hold besides escapes; a query may hold `?` too. Some clients leave these others
# as they are, and no server reads more than themselves in them.
_PLAIN = rb"A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]|^`{}\"<>"
_PATH = re.compile(rb"(?:[" + _PLAIN + rb"]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(rb"(?:[" + _PLAIN + rb"?\\]|%[0-9A-Fa-f]{2}|%)*")
_HIDDEN = (
    (re.compile(rb"(?i)%(25)*2f"), "an escaped slash (%2F)"),
    (re.compile(rb"(?i)\\|%(25)*5c"), "a backslash"),
    (re.compile(rb"(?i)%(25)*00"), "a NUL (%00)"),
    (re.compile(rb"(?i)%(25)*([01][0-9a-f]|7f)"), "an escaped control character"),
)
_DOT = re.compile(rb"(?i)%(25)*2e")


@dataclass(frozen=True)
class ProxiedCall:
    """`rest` is path and query as the client wrote them, without the first slash."""

    name: str
    rest: bytes

    @property
    def target(self) -> str:
        """What the broker is asked for."""
        return f"/api/secrets/{self.name}/proxy/{self.rest.decode('ascii')}"


@dataclass(frozen=True)
class PathFault:
    """Why a path is not passed on, in a sentence."""

    sentence: str


def secrets_path(base_url: str) -> str:
    """The path, with its last slash, below which a sandbox finds its secrets."""
    return f"{base_url}{_SERVICE}"


def proxied_prefix(base_url: str, name: str) -> str:
    """The path, with its last slash, below which a sandbox finds the host of this secret."""
    return f"{secrets_path(base_url)}{name}/proxy/"


def proxied_call(before: str, method: bytes, target: bytes) -> ProxiedCall | PathFault | None:
    """The call below `before` (a path that ends in `secrets/`); None where the target is no such call."""
    start = before.encode()
    if method not in METHODS or not target.startswith(start):
        return None
    # A `/proxy/` in the query is the client's own business.
    path, _, query = target[len(start) :].partition(b"?")
    name, mark, inner = path.partition(_MARK)
    if not mark or not is_secret_name(name.decode("latin-1")):
        return None
    fault = path_fault(inner, query)
    return PathFault(fault) if fault else ProxiedCall(name.decode(), target[len(start) + len(name + mark) :])


def path_fault(path: bytes, query: bytes) -> str:
    """What is wrong with a path (without its first slash) and a query, in a sentence; "" where nothing is."""
    if len(path) + len(query) > _LONGEST:
        return f"The path and query have more than {_LONGEST} bytes"
    for pattern, what in _HIDDEN:
        if pattern.search(path):
            return f"The path has {what}, which servers read in different ways"
    if _PATH.fullmatch(path) is None:
        return "The path has a byte that must be escaped, or a % without two hexadecimal digits"
    if _QUERY.fullmatch(query) is None:
        return "The query has a byte that must be escaped"
    segments = [_DOT.sub(b".", segment.partition(b";")[0]) for segment in path.split(b"/")]
    if b"." in segments or b".." in segments:
        return "The path has a segment '.' or '..', written out or escaped"
    # The last one is empty where the path ends in a slash.
    if b"" in segments[:-1]:
        return "The path has an empty segment (//)"
    return ""
