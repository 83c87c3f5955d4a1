"""What may browsers get from a sandbox's server: how much, and which answers are downloads? (pure)

Law: what brings work in is never cut by the cap on what goes out, within a reserve that is counted too. Off
means off for files that the server's own program offers; a person at the screen can still copy what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..models import BrowserPolicy
from ..units import format_size
from .paths import below

__all__ = [
    "RESERVE",
    "capped_sentence",
    "is_attachment",
    "is_download",
    "length",
    "room",
    "too_large_sentence",
]

RESERVE = 1 << 20  # bytes past the cap: answers to what saves, some hundred bytes each
_SAVING = (b"PUT", b"POST", b"PATCH", b"DELETE")
# Below a server's prefix: files as they are, and notebooks made into other files.
_DOWNLOADS = re.compile(rb"(?:files|nbconvert)(?:/|$)")
_ASKED = re.compile(rb"(?:^|&)download=")


def is_download(target: bytes, prefix: str) -> bool:
    """Does this request ask for a file? `target` is the request's, `prefix` the server's path."""
    raw, _, query = target.partition(b"?")
    return bool(_DOWNLOADS.match(below(raw, prefix).lstrip(b"/")) or _ASKED.search(query))


def is_attachment(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Does the answer tell the browser to keep it as a file?"""
    return any(
        name == b"content-disposition" and value.strip().lower().startswith(b"attachment")
        for name, value in headers
    )


def room(policy: BrowserPolicy, today: int, method: bytes) -> int | None:
    """Bytes that may still go to browsers today (UTC), for an answer to `method`; None without a cap."""
    if policy.bytes_per_day is None:
        return None
    reserve = RESERVE if method in _SAVING else 0
    return max(0, policy.bytes_per_day + reserve - today)


def length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes that an answer announces; 0 where it does not say."""
    found = [value for name, value in headers if name == b"content-length"]
    return int(found[0]) if found and found[0].isdigit() else 0


def too_large_sentence(size: int, left: int) -> str:
    """What a person is told whose file alone is more than is left of today."""
    return f"These {format_size(size)} are more than the {format_size(left)} that may still leave today"


def capped_sentence(policy: BrowserPolicy) -> str:
    """What a person is told whose server has sent all that it may."""
    size = format_size(policy.bytes_per_day or 0)
    return f"This server has sent its {size} of today; saving still works, the rest again at 00:00 UTC"
