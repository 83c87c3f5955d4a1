"""Which calls may a sandbox make through its API door, and of whom: hub, control, broker, or the gateway?

Law: the path that reaches them is built here from the route and the door's owner. Of the request's own path
a secret's name goes further, which has one spelling only; of its query whole numbers only.
ref: jupyterhub/services/auth.py and jupyterhub/singleuser/extension.py (the four calls of the hub they make)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from ..secret_names import is_secret_name

__all__ = ["ANSWER_HEADERS", "REQUEST_HEADERS", "ApiCall", "allowed_calls", "decide"]

# HubAuth sends these four; X-JupyterHub-Version of the answer is what a server checks at start.
REQUEST_HEADERS = frozenset((b"authorization", b"content-type", b"accept", b"user-agent"))
ANSWER_HEADERS = frozenset((b"content-type", b"x-jupyterhub-version", b"www-authenticate", b"cache-control"))

_NAME = "{name}"
_SERVICE = "services/sandbox/api"
_MOST_DIGITS = 15  # fits a 64-bit integer and a double


@dataclass(frozen=True, kw_only=True)
class ApiCall:
    """`target` is what `to` is asked for, `numbers` are its possible parameters, `seconds` its patience.

    `{name}` in it stands for the name of a secret. The gateway itself answers what is posted of activity, by
    rules/activity_report.py.
    """

    to: Literal["hub", "control", "broker", "gateway"]
    method: str
    target: str
    numbers: tuple[str, ...] = ()
    seconds: float = 30.0


def allowed_calls(base_url: str, user: str) -> dict[tuple[bytes, bytes], ApiCall]:
    """Method and exact path of each call that `user`'s sandbox may make."""
    calls = {}
    for call in _hub_calls(base_url, user):
        calls[call.method.encode(), call.target.encode()] = call
    for call in (*_self_calls(), *_secret_calls()):
        # Control and broker serve their API at the root of a socket of their own.
        path = f"{base_url}{_SERVICE}{call.target.removeprefix('/api')}"
        calls[call.method.encode(), path.encode()] = call
    return calls


def _hub_calls(base_url: str, user: str) -> tuple[ApiCall, ...]:
    api = f"{base_url}hub/api"
    # The hub's own spelling: jupyterhub.utils.url_escape_path
    escaped = quote(user, safe="@~")
    return (
        ApiCall(to="hub", method="GET", target=api),
        ApiCall(to="hub", method="GET", target=f"{api}/user"),
        ApiCall(to="gateway", method="POST", target=f"{api}/users/{escaped}/activity"),
        ApiCall(to="hub", method="POST", target=f"{api}/oauth2/token"),
    )


def _self_calls() -> tuple[ApiCall, ...]:
    # A sandbox is named by a header that the door sets, so these paths hold no name at all.
    return (
        ApiCall(to="control", method="GET", target="/api/self"),
        ApiCall(
            to="control",
            method="GET",
            target="/api/self/events",
            numbers=("after", "timeout"),
            seconds=75.0,
        ),
        ApiCall(to="control", method="GET", target="/api/self/egress"),
        ApiCall(to="control", method="POST", target="/api/self/egress/ask"),
        ApiCall(to="control", method="POST", target="/api/self/egress/withdraw"),
        ApiCall(to="control", method="GET", target="/api/self/audit", numbers=("before",)),
        ApiCall(to="control", method="POST", target="/api/self/extend"),
        ApiCall(to="control", method="POST", target="/api/self/keep"),
        ApiCall(to="control", method="POST", target="/api/self/stop"),
        ApiCall(to="control", method="POST", target="/api/self/claims"),
    )


def _secret_calls() -> tuple[ApiCall, ...]:
    return (
        ApiCall(to="broker", method="GET", target="/api/secrets", seconds=10.0),
        *(
            ApiCall(to="broker", method="POST", target=f"/api/secrets/{_NAME}/{verb}", seconds=10.0)
            for verb in ("read", "renew", "revoke", "alarm")
        ),
    )


def decide(calls: dict[tuple[bytes, bytes], ApiCall], method: bytes, target: bytes) -> ApiCall | None:
    """The call this request makes, or None: an exact match, so no spelling of a path has to be understood."""
    path, mark, query = target.partition(b"?")
    call = None if _NAME.encode() in path else calls.get((method, path)) or _named(calls, method, path)
    if call is None or not mark:
        return call
    numbers = _numbers(query, call.numbers)
    if numbers is None:
        return None
    return replace(call, target=call.target + "?" + "&".join(f"{name}={n}" for name, n in numbers.items()))


def _named(calls: dict[tuple[bytes, bytes], ApiCall], method: bytes, path: bytes) -> ApiCall | None:
    """The call of one secret: what stands in the name's place must be a name, as it is."""
    for (known, pattern), call in calls.items():
        before, mark, after = pattern.partition(_NAME.encode())
        if not mark or known != method or not path.startswith(before) or not path.endswith(after):
            continue
        name = path[len(before) : -len(after)].decode("latin-1")
        if is_secret_name(name):
            return replace(call, target=call.target.replace(_NAME, name))
    return None


def _numbers(query: bytes, known: tuple[str, ...]) -> dict[str, int] | None:
    found: dict[str, int] = {}
    for part in query.split(b"&"):
        name, _, digits = part.decode("latin-1").partition("=")
        plain = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
        if name not in known or name in found or not plain:
            return None
        found[name] = int(digits)
    return found
