"""Which calls of the hub's API may a sandbox make through its door?

Law: the path that reaches the hub is built here from the route and the door's owner; no byte of the
request's own path goes further.
ref: jupyterhub/services/auth.py and jupyterhub/singleuser/extension.py (the four calls they make)
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

__all__ = ["ANSWER_HEADERS", "REQUEST_HEADERS", "ApiCall", "allowed_calls", "decide"]

# HubAuth sends these four; X-JupyterHub-Version of the answer is what a server checks at start.
REQUEST_HEADERS = frozenset((b"authorization", b"content-type", b"accept", b"user-agent"))
ANSWER_HEADERS = frozenset(("content-type", "x-jupyterhub-version", "www-authenticate"))


@dataclass(frozen=True)
class ApiCall:
    """The hub's answer is asked at `suffix` below its API URL; an empty one is the API's root."""

    method: str
    suffix: str


def allowed_calls(base_url: str, user: str) -> dict[tuple[bytes, bytes], ApiCall]:
    """Method and exact request target of each call that `user`'s sandbox may make."""
    # The hub's own spelling: jupyterhub.utils.url_escape_path
    escaped = quote(user, safe="@~")
    calls = (
        ApiCall("GET", ""),
        ApiCall("GET", "/user"),
        ApiCall("POST", f"/users/{escaped}/activity"),
        ApiCall("POST", "/oauth2/token"),
    )
    return {(call.method.encode(), f"{base_url}hub/api{call.suffix}".encode()): call for call in calls}


def decide(calls: dict[tuple[bytes, bytes], ApiCall], method: bytes, target: bytes) -> ApiCall | None:
    """The call this request makes, or None: an exact match, so no spelling of a path has to be understood."""
    return calls.get((method, target))
