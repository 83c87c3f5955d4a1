"""How may a value stand in a text? Plain, and as programs commonly write it; each way is found and replaced.

Law: only what stands whole is found, or long pieces of long values. A value letter by letter is not, nor one
encoded in a way that is not here.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["Redactor", "spellings"]

_PIECE = 16  # characters; a shorter piece of a value may be anything
_CUT = 48  # characters; what is longer is often shown shortened, as "abc...xyz"
_PIECES = 8  # at each end
# Fields of messages that tell programs what to do; a password that is the word "stdout" breaks none.
_PROTOCOL = frozenset(
    {"name", "status", "execution_state", "comm_id", "target_name", "type", "event", "command"}
)


def spellings(value: str) -> tuple[str, ...]:
    """The ways in which output may show this value, without doubles."""
    stripped = value.strip()
    found: dict[str, None] = {}
    for text in (value, stripped, stripped.replace("\n", "\r\n")):
        found |= dict.fromkeys(_escaped(text))
    found |= dict.fromkeys(_encoded(stripped.encode(errors="surrogatepass")))
    lines = stripped.splitlines()
    found |= dict.fromkeys(line.strip() for line in lines if _is_piece(line.strip()))
    if len(stripped) > _CUT and _is_piece(stripped):
        found |= dict.fromkeys(_ends(stripped))
    return tuple(found)


def _is_piece(text: str) -> bool:
    """May it stand for the whole? Words with spaces stand in many texts, as does a PEM file's first line."""
    return len(text) >= _PIECE and not re.search(r"\s", text)


def _ends(text: str) -> Iterator[str]:
    for begin in range(0, min(len(text), _PIECES * _PIECE), _PIECE):
        end = len(text) - begin
        for piece in (text[begin : begin + _PIECE], text[max(0, end - _PIECE) : end]):
            if len(piece) == _PIECE and "://" not in piece:  # as many an address begins
                yield piece


def _escaped(text: str) -> Iterator[str]:
    yield text
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (repr(text)[1:-1], repr(text.encode(errors="surrogatepass"))[2:-1])
    for page in (html.escape(text), html.escape(text, quote=False)):
        yield from (page, page.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"))
    raw = text.encode(errors="surrogatepass")
    for url in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        yield from (url, re.sub("%..", lambda found: found[0].lower(), url))


def _encoded(raw: bytes) -> Iterator[str]:
    yield from (raw.hex(), raw.hex().upper())
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        whole = encode(raw).decode()
        yield from (whole, whole.rstrip("="))
        # Inside something longer, as in "Basic USER:PASSWORD", it stands shifted by 0, 1 or 2 bytes.
        for shift in range(3):
            longer = encode(bytes(shift) + raw).decode()
            yield longer[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]


class Redactor:
    """Replaces each spelling of some values by what stands for it. Cheap where nothing is found."""

    def __init__(self, stands_for: Mapping[str, str]) -> None:
        by_length = sorted(stands_for, key=len, reverse=True)
        self._texts = {text: stands_for[text] for text in by_length}
        self._bytes = {_raw(text): stands_for[text].encode() for text in by_length}
        packed = (json.dumps(text, ensure_ascii=ascii)[1:-1] for text in by_length for ascii in (True, False))
        self._packed = tuple(dict.fromkeys([*self._bytes, *map(_raw, packed)]))
        self._by_first: dict[int, list[bytes]] = {}
        for raw in self._bytes:
            self._by_first.setdefault(raw[0], []).append(raw)
        self._longest = max(map(len, self._bytes), default=0)

    def is_in(self, packed: bytes) -> bool:
        """May this JSON text (or other packed content) hold a spelling in one of its strings?"""
        return any(spelling in packed for spelling in self._packed)

    def text(self, text: str) -> str:
        """The text without values."""
        found = [spelling for spelling in self._texts if spelling in text]
        if not found:
            return text
        # In one pass, so that nothing is found in what stands for another. Pieces of one value are one.
        either = "|".join(map(re.escape, found))
        return re.sub(f"({either})(?:{either})*", lambda hit: self._texts[hit[1]], text)

    def raw(self, raw: bytes) -> bytes:
        """Bytes without values."""
        found = [spelling for spelling in self._bytes if spelling in raw]
        if not found:
            return raw
        either = b"|".join(map(re.escape, found))
        return re.sub(b"(%b)(?:%b)*" % (either, either), lambda hit: self._bytes[hit[1]], raw)

    def open_end(self, raw: bytes) -> int:
        """Where a spelling may begin that goes on after the end; the length if none does."""
        for begin in range(max(0, len(raw) - self._longest + 1), len(raw)):
            beginning = raw[begin:]
            if any(spelling.startswith(beginning) for spelling in self._by_first.get(raw[begin], ())):
                return begin
        return len(raw)

    def content(self, content: Any, depth: int = 0) -> Any:
        """A message's content without values; names of fields and MIME types stay, as programs need them."""
        if isinstance(content, str):
            return self.text(content)
        if isinstance(content, Mapping):
            return {
                key if depth < 2 else self.content(key, depth): (
                    item if depth == 0 and key in _PROTOCOL else self.content(item, depth + 1)
                )
                for key, item in content.items()
            }
        if isinstance(content, (list, tuple)):
            return [self.content(item, depth + 1) for item in content]
        if isinstance(content, (int, float)) and not isinstance(content, bool):
            shown = self.text(str(content))
            return content if shown == str(content) else shown
        return content


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
