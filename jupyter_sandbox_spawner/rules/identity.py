"""Does the token that came through a door belong to the server whose door it was?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["SANDBOX_HEADER", "fits", "shown_token"]

SANDBOX_HEADER = "X-Sandbox-Id"  # set by the gateway alone, from the socket that was used


def fits(owner: str, scopes: Collection[str], user: str, server: str) -> bool:
    """Is it the user's token, with the scope of this very server?"""
    return owner == user and f"custom:sandbox:self!server={user}/{server}" in scopes


def shown_token(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header, as HubAuth sends it; "" without one that could be a token.

    `headers` find a name however it is spelled, or hold their names in lower case.
    """
    kind, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    return token if kind.lower() in ("token", "bearer") and token.isascii() and token.isprintable() else ""
