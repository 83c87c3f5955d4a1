"""How does a server that is stopped take leave of its browsers? New requests are refused with the reason,
running ones get a moment, WebSockets a close frame.

Law: the first reason stays; nobody waits longer than the caller allows. Who waits for what runs is about to
stop it: a server that is there a minute later was not stopped, since a killed hub takes nothing back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Leaving", "close_frame", "sentence_of"]

_GOING_AWAY = 1001  # ref: RFC 6455, section 7.4.1
_LONGEST_REASON = 123  # bytes in a close frame, beside its code
_LONGEST_SENTENCE = 150
_FORGOTTEN = 60.0  # seconds after the time to finish
_STOPPED = "This server is being stopped"


class Leaving:
    """One sandbox's requests that run, its WebSockets, and whether it is on its way out."""

    def __init__(self) -> None:
        self.why: str | None = None  # None: it is not leaving
        self._return: asyncio.TimerHandle | None = None  # None: it does not come back
        self._running = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._hang_ups: set[Callable[[bytes], None]] = set()

    def began(self) -> None:
        """A request that is no WebSocket runs."""
        self._running += 1
        self._quiet.clear()

    def ended(self) -> None:
        """It is over, or has become a WebSocket."""
        self._running -= 1
        if self._running == 0:
            self._quiet.set()

    def on_hang_up(self, end: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `end` with a close frame when the WebSockets are closed; the answer takes it off the list."""
        self._hang_ups.add(end)
        return lambda: self._hang_ups.discard(end)

    async def drain(self, why: str, timeout: float) -> int:
        """Refuse what is new, wait for what runs, close the WebSockets; how many requests still run.

        Without a timeout (a stop that is decided) what is new is refused until the doors are closed.
        """
        self._stay_away(timeout)
        if self.why is None:
            self.why = sentence_of(why)
        if timeout > 0:
            with suppress(asyncio.TimeoutError):  # the answer says how many run on
                await asyncio.wait_for(self._quiet.wait(), timeout)
            frame = close_frame(self.why or sentence_of(why))
            for end in tuple(self._hang_ups):
                end(frame)
        return self._running

    def _stay_away(self, timeout: float) -> None:
        is_for_good = self.why is not None and self._return is None
        if self._return is not None:
            self._return.cancel()
            self._return = None
        if timeout > 0 and not is_for_good:
            self._return = asyncio.get_running_loop().call_later(timeout + _FORGOTTEN, self._come_back)

    def _come_back(self) -> None:
        self.why = self._return = None


def sentence_of(why: str) -> str:
    """What a browser reads: one line, printable, not long; without a reason only that it is stopped."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in why).split())
    plain = plain.rstrip(".")[:_LONGEST_SENTENCE]
    return f"{_STOPPED}: {plain}" if plain else _STOPPED


def close_frame(why: str) -> bytes:
    """A server's frame that ends a WebSocket, with the reason as far as it fits."""
    reason = why.encode()[:_LONGEST_REASON].decode(errors="ignore").encode()
    return bytes((0x88, 2 + len(reason))) + _GOING_AWAY.to_bytes(2, "big") + reason
