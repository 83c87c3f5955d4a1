"""How are two sockets joined until both ends are reached?

Law: each direction waits either for its source or for its target, never for both and never in a loop;
an end is passed on (half-close) only after every byte before it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ...errors import EgressRefusedError
from .caps import Meter
from .limits import Limits
from .pace import Turns
from .splice import PIPE_BYTES, Parcel, PipePool

__all__ = ["Tunnels"]

_SEND_BUFFER = 512 << 10  # bytes; the kernel takes it twice
_ROUNDS = 2  # of a pipe; then other connections have their turn
_LITTLE = 4096  # bytes; a turn costs the gateway as much for one byte as for so many


class Tunnels:
    """All tunnels of the gateway: one pool of pipes, one sweep for stalled and idle ones."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.pool = PipePool(limits.pipes)
        self._live: set[_Tunnel] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def carry(self, client: socket.socket, upstream: socket.socket, meter: Meter, turns: Turns) -> None:
        """Carry bytes both ways until both ends are reached; the sockets stay the caller's to close.

        `turns` are those of the sandbox: many small pieces are carried together.

        Raises OSError for a broken connection, TimeoutError for a stalled or idle one, and
        EgressRefusedError `egress.capped` when today's bytes are used up.
        """
        # With the default a reader that keeps up still stalls us at every pipe; more than this gains nothing.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        tunnel = _Tunnel((client, upstream), meter, turns, self.pool)
        self._live.add(tunnel)
        self._watch()
        try:
            tunnel.start()
            await tunnel.ended
        finally:
            self._live.discard(tunnel)
            tunnel.close()

    @property
    def stalled(self) -> int:
        """How many directions wait for their receiver now."""
        return sum(tunnel.stalled for tunnel in self._live)

    def close(self) -> None:
        """Close the pool and stop sweeping; tunnels end with the tasks that carry them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.pool.close()

    def _watch(self) -> None:
        if self._timer is None and self._live:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limits.sweep_seconds, self._sweep)

    def _sweep(self) -> None:
        # One sweep for all instead of a timer for each: thousands of idle tunnels stay cheap.
        self._timer = None
        now = asyncio.get_running_loop().time()
        for tunnel in list(self._live):
            tunnel.look(now, self._limits)
        self._watch()


class _Tunnel:
    def __init__(
        self, ends: tuple[socket.socket, socket.socket], meter: Meter, turns: Turns, pool: PipePool
    ) -> None:
        client, upstream = ends
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flows = (
            _Flow((client, upstream), (meter.room, meter.up), turns, Parcel(pool), self._flow_ended),
            _Flow((upstream, client), (meter.room, meter.down), turns, Parcel(pool), self._flow_ended),
        )

    @property
    def stalled(self) -> int:
        return sum(flow.waiting for flow in self._flows)

    def start(self) -> None:
        for flow in self._flows:
            flow.start()

    def look(self, now: float, limits: Limits) -> None:
        quiet = [flow.quiet_since(now) for flow in self._flows]
        for flow, since in zip(self._flows, quiet, strict=True):
            if flow.waiting and now - since >= limits.sweep_seconds:
                flow.parcel.unload()
            if flow.waiting and now - since >= limits.stall_seconds:
                self._flow_ended(TimeoutError(f"The receiver took nothing for {limits.stall_seconds:g} s."))
        if now - max(quiet) >= limits.idle_seconds:
            self._flow_ended(TimeoutError(f"Nothing moved for {limits.idle_seconds:g} s."))

    def close(self) -> None:
        for flow in self._flows:
            flow.close()

    def _flow_ended(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is not None:
            self.ended.set_exception(error)
        elif all(flow.finished for flow in self._flows):
            self.ended.set_result(None)


class _Flow:
    """One direction. `ends` = (source, target), `meter` = (room for how many bytes, count them)."""

    def __init__(
        self,
        ends: tuple[socket.socket, socket.socket],
        meter: tuple[Callable[[int], int], Callable[[int], None]],
        turns: Turns,
        parcel: Parcel,
        ended: Callable[[Exception | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source, self._target = ends
        self._room, self._count = meter
        self._turns = turns
        self._timer: asyncio.TimerHandle | None = None
        self._ended = ended
        self.parcel = parcel
        self.finished = False
        self.waiting = False  # for the target, with bytes in the parcel
        self._moved = False
        self._quiet_since = self._loop.time()

    def start(self) -> None:
        self._loop.add_reader(self._source, self._on_readable)

    def quiet_since(self, now: float) -> float:
        if self._moved:
            self._moved = False
            self._quiet_since = now
        return self._quiet_since

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)
        self.parcel.drop()

    def _on_readable(self) -> None:
        try:
            self._move()
        except (OSError, EgressRefusedError) as error:
            self._stop(error)

    def _on_writable(self) -> None:
        try:
            before = self.parcel.size
            delivered = self.parcel.give(self._target)
            self._moved = self._moved or self.parcel.size < before
            if delivered:
                self._loop.remove_writer(self._target)
                self.waiting = False
                self._loop.add_reader(self._source, self._on_readable)
                self._move()
        except (OSError, EgressRefusedError) as error:
            self._stop(error)

    def _move(self) -> None:
        for _ in range(_ROUNDS):
            try:
                taken = self.parcel.take(self._source, self._room(PIPE_BYTES))
            except BlockingIOError:
                return
            if taken == 0:
                self._finish()
                return
            self._moved = True
            self._count(taken)
            if not self.parcel.give(self._target):
                # Waiting for both would call us again and again while only the source is ready.
                self._loop.remove_reader(self._source)
                self._loop.add_writer(self._target, self._on_writable)
                self.waiting = True
                return
            if taken < _LITTLE:
                self._rest()
                return

    def _rest(self) -> None:
        seconds = self._turns.after_little(self._loop.time())
        if seconds > 0:
            self._loop.remove_reader(self._source)
            self._timer = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._loop.add_reader(self._source, self._on_readable)

    def _finish(self) -> None:
        self.finished = True
        self._loop.remove_reader(self._source)
        self._target.shutdown(socket.SHUT_WR)
        self._ended(None)

    def _stop(self, error: Exception) -> None:
        self.close()
        self._ended(error)
