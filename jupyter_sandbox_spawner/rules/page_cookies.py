"""Which cookies does a service's page keep, and where do they count? (pure)"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

__all__ = ["PageCookies", "Place"]

_OURS = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a page is. `prefix` is its path without a last slash, `hub` the hub's address for browsers.

    `own_host`: no other program of the site answers on this host name.
    """

    prefix: str
    hub: str
    own_host: bool = False


class PageCookies:
    """Cookies of one service: no script reads them, and they go to its own path only."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def read(self, headers: Mapping[str, str], name: str) -> str:
        """The value that the browser sent; "" without one, or where it is none that we gave."""
        try:
            found = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        name = self._full_name(headers, name)
        value = found[name].value if name in found else ""
        # Ours are such; what a sister host's page planted may go into a header again.
        return value if _OURS.fullmatch(value) else ""

    def written(self, headers: Mapping[str, str], name: str, value: str, seconds: int | None) -> str:
        """A Set-Cookie header; `seconds` None: until the browser ends, 0: forget it."""
        full = self._full_name(headers, name)
        path = "/" if full != name else f"{self._place.prefix}/"
        parts = [f"{full}={value}", f"Path={path}", "HttpOnly", "SameSite=Lax"]
        parts += ["Secure"] if _is_secure(headers) else []
        parts += [f"Max-Age={seconds}"] if seconds is not None else []
        return "; ".join(parts)

    def _full_name(self, headers: Mapping[str, str], name: str) -> str:
        """With the prefix that keeps pages of sister hosts from setting it, where browsers allow it."""
        return f"__Host-{name}" if self._place.own_host and _is_secure(headers) else name


def _is_secure(headers: Mapping[str, str]) -> bool:
    """Does the browser speak TLS? By the hub's proxy."""
    return headers.get("x-forwarded-proto", "").split(",")[0].strip() == "https"
