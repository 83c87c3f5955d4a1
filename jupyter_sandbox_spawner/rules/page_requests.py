"""Does somebody open a page, and was it this site's own page that asked? By the browser's own word (pure).

Law: servers of other users are the same site, so what counts is the origin. `headers` are lower-case.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["READ", "is_navigation", "is_own_page"]

READ = ("GET", "HEAD")
_FOREIGN = ("cross-site", "same-site")


def is_navigation(method: str, headers: Mapping[str, str]) -> bool:
    """Does somebody open a page, so that a login may come first?"""
    mode = headers.get("sec-fetch-mode")
    if mode is not None:
        return method == "GET" and mode == "navigate"
    return method == "GET" and "text/html" in headers.get("accept", "")


def is_own_page(method: str, headers: Mapping[str, str]) -> bool:
    """False where another site's page sent it, or may have.

    Cookies are SameSite=Lax, which a sister host passes; so Fetch Metadata decides, and RFC 6454's Origin
    for what changes something.
    """
    site = headers.get("sec-fetch-site")
    if method in READ:
        is_own = site not in _FOREIGN or _opens_a_tab(headers)
    else:
        host = urlsplit(headers.get("origin", "")).netloc
        is_own = site in (None, "same-origin") and bool(host) and host == headers.get("host")
    return is_own


def _opens_a_tab(headers: Mapping[str, str]) -> bool:
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
