"""Does the token that came through a door belong to the server whose door it was?"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping

__all__ = ["SANDBOX_HEADER", "fits", "shown_token"]

SANDBOX_HEADER = "X-Sandbox-Id"  # set by the gateway alone, from the socket that was used


def fits(owner: str, scopes: Collection[str], user: str, server: str) -> bool:
    """Is it the user's token, with the scope of this very server?"""
    return owner == user and f"custom:sandbox:self!server={user}/{server}" in scopes


def shown_token(headers: Mapping[str, str], basic: bool = False) -> str:
    """The token of an Authorization header, as HubAuth sends it; "" without one that could be a token.

    `headers` find a name however it is spelled, or hold their names in lower case. `basic`: git and pip show
    it as the password of Basic; the user beside it says nothing, for a token has one owner.
    """
    kind, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    if basic and kind.lower() == "basic":
        token = _password(token)
    elif kind.lower() not in ("token", "bearer"):
        return ""
    return token if token.isascii() and token.isprintable() else ""


def _password(encoded: str) -> str:
    try:
        text = base64.b64decode(encoded, validate=True).decode("ascii")
    except ValueError:
        return ""
    return text.partition(":")[2]
