"""Are the frames of a WebSocket seen whatever way its bytes arrive?"""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.rules.frames import PEEK, Frame, FrameReader


def frame(opcode: int, payload: bytes, masked: bool = True, first: int = 0x80) -> bytes:
    """A frame as RFC 6455 draws it."""
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first | opcode, mask | size])
    elif size < 1 << 16:
        head = bytes([first | opcode, mask | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first | opcode, mask | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


def read(chunks: list[bytes]) -> list[Frame]:
    """What a reader tells of these chunks."""
    reader = FrameReader()
    return [seen for chunk in chunks for seen in reader.feed(chunk)]


PAYLOADS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 8, 9, 10]), st.binary(max_size=2 * PEEK), st.booleans()), max_size=5
)


@given(PAYLOADS, st.lists(st.integers(1, 700), min_size=1))
def test_every_frame_is_told_once_however_it_is_cut(
    sent: list[tuple[int, bytes, bool]], cuts: list[int]
) -> None:
    """Frames cut into chunks of any size give their opcodes and the beginnings of their payloads."""
    stream = b"".join(frame(opcode, payload, masked) for opcode, payload, masked in sent)
    chunks, place = [], 0
    while place < len(stream):
        size = cuts[len(chunks) % len(cuts)]
        chunks.append(stream[place : place + size])
        place += size
    assert read(chunks) == [Frame(opcode, payload[:PEEK], True) for opcode, payload, _ in sent]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 3 << 20])
def test_lengths_of_every_form_are_skipped(size: int) -> None:
    """After a payload of any length the next frame is found."""
    stream = frame(2, b"x" * size) + frame(1, b"next")
    half = len(stream) // 2
    assert [seen.opcode for seen in read([stream[:half], stream[half:]])] == [2, 1]


def test_a_compressed_payload_is_not_readable() -> None:
    """A frame with a reserved bit, which an extension sets, says that its payload cannot be read."""
    assert read([frame(1, b"x", first=0xC0)])[0].readable is False
    assert read([frame(1, b"x")])[0].readable is True


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_no_bytes_break_the_reader(chunks: list[bytes]) -> None:
    """Whatever arrives, the reader keeps no more than it needs to look at."""
    reader = FrameReader()
    for chunk in chunks:
        assert all(len(seen.beginning) <= PEEK for seen in reader.feed(chunk))
