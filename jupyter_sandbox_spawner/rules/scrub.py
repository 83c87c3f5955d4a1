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

_Span = tuple[int, int]


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
    """One stream: give it chunks by `feed`, and take what is left by `rest`; `found` counts replacements."""

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = {form for value in values for form in forms_of(value)}
        self._held_back = max((len(form) for form in self._forms), default=1) - 1
        # Kept as it came: a shorter value could be the beginning of a longer one that is not whole yet.
        self._kept = b""
        self._marked: list[_Span] = []
        self.found = 0

    def feed(self, chunk: bytes) -> bytes:
        """What may go on of all that came so far."""
        return self._taken(self._kept + chunk, self._held_back)

    def rest(self) -> bytes:
        """The end of the stream."""
        return self._taken(self._kept, 0)

    def whole(self, text: bytes) -> bytes:
        """The same for something that is no stream, such as a header."""
        spans = self._spans(text)
        self.found += len(spans)
        return _masked(text, spans)

    def _taken(self, text: bytes, held_back: int) -> bytes:
        new = [span for span in self._spans(text) if span not in self._marked]
        self.found += len(new)
        spans = self._marked + new
        cut = max(0, len(text) - held_back)
        self._kept = text[cut:]
        self._marked = [(begin - cut, end - cut) for begin, end in spans if end > cut]
        return _masked(text, spans)[:cut]

    def _spans(self, text: bytes) -> list[_Span]:
        """Where a value stands; they may overlap."""
        found = []
        for form in self._forms:
            at = text.find(form)
            while at >= 0:
                found.append((at, at + len(form)))
                at = text.find(form, at + 1)
        return found


def _masked(text: bytes, spans: Iterable[_Span]) -> bytes:
    if not spans:
        return text
    shown = bytearray(text)
    for begin, end in spans:
        # One that began in an earlier chunk.
        first = max(begin, 0)
        shown[first:end] = b"*" * (end - first)
    return bytes(shown)


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
