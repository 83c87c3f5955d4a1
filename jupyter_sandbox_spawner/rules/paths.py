"""Which part of a request's path is the server's own? Compared unescaped, as routing compares it."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

__all__ = ["below"]


def below(path: bytes, prefix: str) -> bytes:
    """The path below the server's prefix, both unescaped; the whole path where it is not below it."""
    return unquote_to_bytes(path).removeprefix(unquote_to_bytes(prefix))
