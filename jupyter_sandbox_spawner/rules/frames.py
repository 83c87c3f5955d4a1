"""Which WebSocket frames go by in a stream of bytes, and how does each begin?

Law: bytes are only looked at, never held back or changed; of a frame at most `PEEK` bytes are kept.
ref: RFC 6455, section 5.2
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["PEEK", "Frame", "FrameReader"]

PEEK = 512
_LONGEST_HEAD = 14
_EXTENDED = {126: 2, 127: 8}  # bytes of the length that follow the second one
_MASKED = 0x80
_MOST_HEADS = 4096  # in one chunk
_ENDLESS = 1 << 80  # bytes
_RESERVED = 0x70


@dataclass(frozen=True)
class Frame:
    """One frame: its opcode and the first bytes of its payload, unmasked.

    `readable` is False where an extension (compression) changed the payload.
    """

    opcode: int
    beginning: bytes
    readable: bool


class FrameReader:
    """Follows one direction of a WebSocket from its first byte."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 0

    @property
    def between(self) -> bool:
        """Is the last byte that went by the last one of its frame?"""
        return not self._skip and not self._held

    def skip(self, chunk: bytes) -> None:
        """Only follow: where frames begin and end, without looking into them.

        Who sends a flood of tiny frames is not followed any longer: it costs more than it is worth.
        """
        start = heads = 0
        while start < len(chunk):
            if heads > _MOST_HEADS:
                self._skip = _ENDLESS
                return
            if self._skip:
                passed = min(self._skip, len(chunk) - start)
                self._skip -= passed
                start += passed
                continue
            self._held.append(chunk[start])
            start += 1
            head, length = _measure(self._held)
            if head == len(self._held):
                heads += 1
                self._held.clear()
                self._skip = length

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames of which enough was seen with this chunk; each is told once, early in its payload."""
        start = 0
        while start < len(chunk):
            if self._skip:
                passed = min(self._skip, len(chunk) - start)
                self._skip -= passed
                start += passed
                continue
            before = len(self._held)
            self._held += chunk[start : start + _LONGEST_HEAD + PEEK - before]
            used = self._used()
            if used is None:
                return
            yield self._frame(used)
            start += used - before
            self._held.clear()

    def _used(self) -> int | None:
        """Bytes of the frame that are looked at (head and beginning); None while some are missing."""
        head, length = _measure(self._held)
        if head is None or len(self._held) < head + min(length, PEEK):
            return None
        self._skip = max(0, length - PEEK)
        return head + min(length, PEEK)

    def _frame(self, used: int) -> Frame:
        held = bytes(self._held[:used])
        head = _measure(held)[0] or used
        beginning = held[head:]
        if held[1] & _MASKED:
            beginning = _unmasked(beginning, held[head - 4 : head])
        return Frame(held[0] & 0x0F, beginning, readable=not held[0] & _RESERVED)


def _measure(held: bytes | bytearray) -> tuple[int | None, int]:
    """Length of the head and of the payload; the first is None while it is not known."""
    if len(held) < 2:
        return None, 0
    short = held[1] & 0x7F
    extended = _EXTENDED.get(short, 0)
    head = 2 + extended + (4 if held[1] & _MASKED else 0)
    if len(held) < head:
        return None, 0
    return head, int.from_bytes(held[2 : 2 + extended], "big") if extended else short


def _unmasked(payload: bytes, key: bytes) -> bytes:
    if not payload:
        return payload
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return mixed.to_bytes(len(payload), "big")
