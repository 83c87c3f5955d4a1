"""Which headers pass between a browser and a sandbox's server, and which are added?

Law: a server answers for its own prefix only; nothing it sends may act on the rest of the origin, and
nothing a browser sends may pose as a statement of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "Headers",
    "PagePolicy",
    "fault",
    "is_ambiguous",
    "request_headers",
    "response_headers",
    "scoped_cookie",
    "switch_headers",
    "wants_websocket",
]

Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)
# What these say is kept by the browser for the whole origin (or for its reports) and outlives the sandbox.
_ORIGIN_WIDE = frozenset(
    b"service-worker-allowed clear-site-data strict-transport-security public-key-pins alt-svc nel report-to"
    b" reporting-endpoints content-security-policy-report-only connection-allowlist-report-only"
    b" sourcemap x-sourcemap".split()
)
_OURS = (b"proxy-", b"x-sandbox-")
_SET_BY_US = frozenset((b"x-content-type-options", b"x-dns-prefetch-control", b"connection-allowlist"))
# No directive that browsers enforce stops WebRTC; this header does where it is known. It lets every address
# pass: where a page may send is the content security policy's to say.
# ref: https://wicg.github.io/connection-allowlists/
_NO_CALLS = b'("*://*:*/*");redirects=allow;webrtc=block'
_REPORTING = (b"report-uri", b"report-to")


@dataclass(frozen=True, kw_only=True)
class PagePolicy:
    """What pages of one server may do in a browser.

    `prefix` is the server's path with both slashes. `hub_origin` (`https://hub.example`) is empty where the
    hub shares the origin; with subdomains it is where forms may end after a login redirect, and `own_host`
    says that the host belongs to this user alone, so cookies for `/` are theirs. `hosts` are further origins
    that its pages may load from and talk to.
    """

    prefix: str
    hub_origin: str = ""
    own_host: bool = False
    hosts: tuple[str, ...] = ()

    @property
    def content_security_policy(self) -> bytes:
        """The policy sent beside the server's own; a browser enforces both.

        'self' covers ws: and wss: of the same host; blob: objects are JupyterLab's PDF viewer.
        """
        form = f" {self.hub_origin}" if self.hub_origin else ""
        own = " ".join(("'self'", *self.hosts))
        return (
            f"default-src {own}; script-src {own} 'unsafe-inline' 'unsafe-eval' blob:;"
            f" style-src {own} 'unsafe-inline'; img-src {own} data: blob:; font-src {own} data: blob:;"
            f" media-src {own} data: blob:; connect-src {own} data: blob:; worker-src 'self' blob:;"
            f" frame-src {own} data: blob:; object-src 'self' blob:; manifest-src 'self';"
            f" base-uri 'self'; form-action 'self'{form}; frame-ancestors 'self'"
        ).encode()


def is_ambiguous(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Do these headers give a body two lengths (Content-Length and Transfer-Encoding)?"""
    names = {name for name, _ in headers}
    return b"content-length" in names and b"transfer-encoding" in names


def fault(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What is wrong with a request that h11 lets pass, in a sentence; empty when nothing is."""
    headers = list(headers)
    if is_ambiguous(headers):
        return "The request gives two lengths for one body"
    if not any(name == b"host" for name, _ in headers):
        return "The request names no host"
    return ""


def wants_websocket(method: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Is this a WebSocket handshake? No other upgrade passes (h2c would hide requests from us)."""
    found = {name: value.strip().lower() for name, value in headers}
    tokens = [token.strip() for token in found.get(b"connection", b"").split(b",")]
    return method == b"GET" and found.get(b"upgrade") == b"websocket" and b"upgrade" in tokens


def request_headers(headers: Iterable[tuple[bytes, bytes]], websocket: bool) -> Headers:
    """The headers that go to the server inside: one request a connection, unless it becomes a WebSocket."""
    kept = _end_to_end(headers)
    if websocket:
        return [*kept, (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    return [*kept, *_framing(headers), (b"connection", b"close")]


def response_headers(headers: Iterable[tuple[bytes, bytes]], policy: PagePolicy) -> Headers:
    """The headers that go to the browser, with our content security policy beside the server's own."""
    headers = list(headers)
    chunked = any(name == b"transfer-encoding" for name, _ in headers)
    kept: Headers = []
    for name, value in _end_to_end(headers):
        if name in _ORIGIN_WIDE or name in _SET_BY_US or (chunked and name == b"content-length"):
            continue
        if name == b"set-cookie":
            cookie = scoped_cookie(value, policy)
            kept += [(name, cookie)] if cookie else []
        elif name == b"content-security-policy":
            kept.append((name, _without_reports(value)))
        else:
            kept.append((name, value))
    return [
        *kept,
        (b"content-security-policy", policy.content_security_policy),
        (b"x-content-type-options", b"nosniff"),
        (b"x-dns-prefetch-control", b"off"),
        (b"connection-allowlist", _NO_CALLS),
    ]


def switch_headers(headers: Iterable[tuple[bytes, bytes]], policy: PagePolicy) -> Headers:
    """The headers of a 101 answer: those of a response, with the upgrade itself."""
    kept = [
        (name, value)
        for name, value in response_headers(headers, policy)
        if name not in (b"content-security-policy", b"connection-allowlist", b"content-length")
    ]
    return [*kept, (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]


def scoped_cookie(value: bytes, policy: PagePolicy) -> bytes | None:
    """This Set-Cookie confined to the server's prefix, or None where it asks for more.

    A cookie without a path gets the prefix: a browser's default would be the parent directory.
    """
    paths = []
    for attribute in value.split(b";")[1:]:
        name, _, content = attribute.partition(b"=")
        if name.strip().lower() == b"domain":
            return None
        if name.strip().lower() == b"path":
            paths.append(content.strip())
    if not paths:
        return value + b"; Path=" + policy.prefix.encode()
    if len(paths) > 1 or not _inside(paths[0], policy):
        return None
    return value


def _inside(path: bytes, policy: PagePolicy) -> bool:
    prefix = policy.prefix.encode()
    return path.startswith(prefix) or path + b"/" == prefix or (policy.own_host and path == b"/")


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    headers = list(headers)
    named = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    # Content-Length frames the body; a sender that lists it in Connection must not make us drop it.
    dropped = _HOP_BY_HOP | (named - {b"content-length", b"host"})
    return [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.replace(b"_", b"-").startswith(_OURS)
    ]


def _framing(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    chunked = any(name == b"transfer-encoding" for name, _ in headers)
    return [(b"transfer-encoding", b"chunked")] if chunked else []


def _without_reports(value: bytes) -> bytes:
    # A report goes to any address its policy names and carries what the page puts into it.
    policies = []
    for policy in value.split(b","):
        directives = [part.strip() for part in policy.split(b";")]
        kept = [part for part in directives if part and part.split()[0].lower() not in _REPORTING]
        policies.append(b"; ".join(kept))
    return b", ".join(policies)
