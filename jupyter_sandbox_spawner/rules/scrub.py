"""How is a stream of bytes cleaned of values, whatever the places where it is cut into chunks?

Law: a value is replaced by as many asterisks, so that lengths stay true. As many bytes as a value could
begin in are held back until more come, always: to hold back only what looks like a beginning would tell a
sandbox, by the delay, which letters it guessed right.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

__all__ = ["Scrubber", "forms_of"]


def forms_of(value: str) -> tuple[bytes, ...]:
    """The spellings that servers give a value in headers, pages and documents; the longest first."""
    raw = value.encode()
    hexadecimal = raw.hex()
    escaped = {quote(value, safe=""), quote(value), quote_plus(value), quote_plus(value, safe="/")}
    found = {
        raw,
        value.encode("utf-16-le"),
        value.encode("utf-16-be"),
        hexadecimal.encode(),
        hexadecimal.upper().encode(),
        html.escape(value).encode(),
        json.dumps(value)[1:-1].encode(),
        json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        json.dumps(value)[1:-1].replace("/", "\\/").encode(),
        *(text.encode() for text in escaped),
        *(_lower_escapes(text).encode() for text in escaped),
        *_base64_forms(raw),
    }
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


class Scrubber:
    """One stream: give it chunks by `feed`, and take what is left by `rest`."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in forms_of(value)}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._held_back = max((len(form) for form in self._forms), default=1) - 1
        self._kept = b""
        self.found = 0

    def feed(self, chunk: bytes) -> bytes:
        """What may go on of all that came so far."""
        text = self._clean(self._kept + chunk)
        cut = max(0, len(text) - self._held_back)
        self._kept = text[cut:]
        return text[:cut]

    def rest(self) -> bytes:
        """The end of the stream."""
        text, self._kept = self._kept, b""
        return text

    def whole(self, text: bytes) -> bytes:
        """The same for something that is no stream, such as a header."""
        return self._clean(text)

    def _clean(self, text: bytes) -> bytes:
        for form in self._forms:
            if form in text:
                self.found += text.count(form)
                text = text.replace(form, b"*" * len(form))
        return text


def _lower_escapes(text: str) -> str:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def _base64_forms(raw: bytes) -> Iterable[bytes]:
    """What base64 of any text with the value in it must hold: it may begin at three places of a group."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        # The first letters hold bits of what stands before, the last one bits of what follows.
        form = encoded[-(-8 * before // 6) : (before + len(raw)) * 8 // 6]
        yield form
        yield form.translate(bytes.maketrans(b"+/", b"-_"))
