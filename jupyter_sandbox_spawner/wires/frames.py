"""How is a connection between wires used again? What is carried comes in frames, and each way ends with none.

A frame is its length in four bytes, and so many bytes; a length of zero is the end of a way.
"""

from __future__ import annotations

from .stream import CHUNK, CutOffError, TlsEnd

__all__ = ["FramedEnd"]

_LENGTH = 4


class FramedEnd:
    """One use of a connection; closing it leaves the connection open where both ways have ended."""

    def __init__(self, end: TlsEnd) -> None:
        self._end = end
        self._rest = b""
        self._left = 0  # bytes of the frame that is being read
        self._read_all = self._said_all = False

    @property
    def is_whole(self) -> bool:
        """Have both ways ended as they should?"""
        return self._read_all and self._said_all

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises CutOffError where the connection ends without."""
        if self._read_all:
            return b""
        if not self._left and not await self._begin():
            return b""
        if not self._rest:
            self._rest = await self._more()
        data, self._rest = self._rest[: self._left], self._rest[self._left :]
        self._left -= len(data)
        return data

    async def write(self, data: bytes) -> None:
        """Send all."""
        for start in range(0, len(data), CHUNK):
            part = data[start : start + CHUNK]
            await self._end.write(len(part).to_bytes(_LENGTH, "big") + part)

    async def finish(self) -> None:
        """Say that nothing more is sent; reading goes on."""
        await self._end.write(bytes(_LENGTH))
        self._said_all = True

    def close(self) -> None:
        """Give up both ways, where they have not ended."""
        if not self.is_whole:
            self._end.close()

    async def _begin(self) -> bool:
        """The length of the next frame; False at the end."""
        while len(self._rest) < _LENGTH:
            self._rest += await self._more()
        self._left = int.from_bytes(self._rest[:_LENGTH], "big")
        self._rest = self._rest[_LENGTH:]
        if not self._left:
            self._read_all = True
            self._end.unread(self._rest)
            self._rest = b""
            return False
        if self._left > CHUNK:
            raise CutOffError("a frame is larger than any of ours")
        return True

    async def _more(self) -> bytes:
        data = await self._end.read()
        if not data:
            raise CutOffError("the connection ended within a frame")
        return data
