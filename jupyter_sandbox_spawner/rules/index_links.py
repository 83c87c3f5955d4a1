"""How do the links of a package index lead a client back to where it came from?

Many indexes write the way to a file as a path from their root, or with their own name: below our prefix the
one leads to nothing, the other past the secret. Law: only links to the host itself are changed.
ref: https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

from __future__ import annotations

import re

__all__ = ["IndexLinks", "is_index_page"]

_PAGES = (
    "text/html",
    "application/vnd.pypi.simple.v1+html",
    "application/vnd.pypi.simple.v1+json",
    "application/json",
)
_LONGEST = 64 << 10  # bytes held back for the end of a tag or of a string
_CUTS = (b"<", b",", b"{")


def is_index_page(content_type: str) -> bool:
    """Is it a page that may list files?"""
    return content_type.partition(";")[0].strip().lower() in _PAGES


class IndexLinks:
    """One page as a stream: give it chunks by `feed`, and take what is left by `rest`."""

    def __init__(self, host: str, prefix: str) -> None:
        name = re.escape(host.encode())
        port = b"" if ":" in host else rb"(?::443)?"
        # `//` would be another host.
        self._link = re.compile(
            rb"(?i)((?:\bhref\s*=\s*[\"']?|\"url\"\s*:\s*\")\s*)(?:https://" + name + port + rb"/|/(?![/\\]))"
        )
        self._prefix = prefix.encode()
        self._kept = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may go on of all that came so far: whole tags and strings."""
        text = self._kept + chunk
        cut = max(text.rfind(mark) for mark in _CUTS)
        if cut < 0 or len(text) - cut > _LONGEST:
            cut = len(text)
        self._kept = text[cut:]
        return self._changed(text[:cut])

    def rest(self) -> bytes:
        """The end of the page."""
        text, self._kept = self._kept, b""
        return self._changed(text)

    def _changed(self, text: bytes) -> bytes:
        return self._link.sub(lambda found: found[1] + self._prefix, text)
