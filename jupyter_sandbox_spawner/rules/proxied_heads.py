"""Which headers pass between a sandbox and a host that is sent a secret, and where may its answers lead?

Law: what a sandbox shows to be known stays here; what a host says about its whole origin does not come in,
for its origin is not the sandbox's. Header names are in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from urllib.parse import urljoin, urlsplit

from .proxied import path_fault

__all__ = [
    "REDIRECTS",
    "UPSTREAM_HEADER",
    "answer_headers",
    "framing",
    "location_inside",
    "to_broker",
    "to_host",
    "to_sandbox",
]

Headers = list[tuple[bytes, bytes]]

UPSTREAM_HEADER = b"x-sandbox-upstream"  # the host whose answer this is; ours have X-Sandbox-Deny instead
REDIRECTS = (301, 302, 303, 307, 308)
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings"
    b" content-length expect".split()
)
# Cookies would be a second login; the others name this machine's addresses, or let parts of an answer be
# asked for: in two halves of a value nobody would find it (Range).
_NOT_SENT = frozenset(
    b"host cookie cookie2 forwarded origin referer range if-range accept-encoding via x-real-ip"
    b" authorization".split()
)
_NOT_TAKEN = frozenset(
    b"set-cookie set-cookie2 strict-transport-security public-key-pins alt-svc alt-used clear-site-data nel"
    b" report-to reporting-endpoints www-authenticate authentication-info service-worker-allowed"
    b" accept-ranges refresh access-control-allow-origin access-control-allow-credentials location".split()
)
_OURS = (b"proxy-", b"x-sandbox-", b"x-forwarded-", b"x-jupyterhub-")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,19}")


def to_broker(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the API door passes on to the broker: Authorization too, which says who asks."""
    headers = list(headers)
    return [
        (name, value)
        for name, value in _end_to_end(headers)
        if name == b"authorization" or name not in _NOT_SENT
    ]


def to_host(headers: Iterable[tuple[bytes, bytes]], credential: tuple[str, str]) -> Headers:
    """What the host is sent: nothing that shows the sandbox, the credential once, no wish for compression."""
    name, value = credential
    own = name.lower().encode()
    kept = [item for item in _end_to_end(headers) if item[0] not in _NOT_SENT and _same(item[0]) != own]
    return [*kept, (b"accept-encoding", b"identity"), (name.encode(), value.encode("latin-1"))]


def answer_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What of a host's answer goes to the sandbox; `location` is decided by itself."""
    kept = [item for item in _end_to_end(headers) if item[0] not in _NOT_TAKEN]
    return [item for item in kept if not _CONTROL.search(item[1])]


def to_sandbox(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the API door passes on of the broker's answer; the door looks at it once more."""
    ours = (b"www-authenticate", b"location")
    return [item for item in _hop_free(headers) if item[0] in ours or item[0] not in _NOT_TAKEN]


def framing(headers: Collection[tuple[bytes, bytes]]) -> Headers:
    """How a body's end is known: its length, or chunks; nothing where there is no body."""
    found = dict(headers)
    if b"transfer-encoding" in found:
        return [(b"transfer-encoding", b"chunked")]
    length = found.get(b"content-length", b"")
    return [(b"content-length", length)] if _LENGTH.fullmatch(length) else []


def location_inside(location: str, asked: str, prefix: str) -> str | None:
    """A redirect of the URL `asked` as the sandbox can follow it, below `prefix`; None if it leads elsewhere.

    The same scheme, name and port only. The sandbox gets an absolute path: it knows the host by our prefix.
    """
    if not location.isascii() or not location.isprintable() or "\\" in location or " " in location:
        return None
    try:
        there, here = urlsplit(urljoin(asked, location)), urlsplit(asked)
        same = (there.scheme, there.hostname, there.port or 443) == ("https", here.hostname, here.port or 443)
    except ValueError:
        return None
    path = there.path.removeprefix("/")
    # A path that we would refuse could lead a client out of the prefix.
    if not same or "@" in there.netloc or path_fault(path.encode(), there.query.encode()):
        return None
    return f"{prefix}{path}?{there.query}" if there.query else prefix + path


def _hop_free(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    headers = list(headers)
    named = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    return [(name, value) for name, value in headers if name not in _HOP_BY_HOP | named]


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    # Statements of ours are never a client's nor a host's.
    return [(name, value) for name, value in _hop_free(headers) if not _same(name).startswith(_OURS)]


def _same(name: bytes) -> bytes:
    # Some servers read `X_Token` as `X-Token`.
    return name.replace(b"_", b"-")
