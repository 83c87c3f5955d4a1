"""How are values kept out of what programs write past Python, to descriptors 1 and 2? By a pipe in between.

ipykernel shows such output in the notebook and copies it to the server's log, which is the container's.
Law: a pipe's reader never stops, or the program that writes would wait for ever.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from .spellings import Redactor

__all__ = ["Carrier", "settle", "watch"]

_CHUNK = 65536
_PATIENCE = 200  # milliseconds that a possible beginning of a value waits for its end
_LAST_WORDS = 1.0  # seconds
_SETTLED = 0.1  # seconds
_WITHHELD = b"\n[output is withheld: it could not be searched for secrets (%s)]\n"


class Carrier(threading.Thread):
    """Copies from one descriptor to another without values, until all writers have closed; closes both."""

    def __init__(self, source: int, target: int, current: Callable[[], Redactor]) -> None:
        super().__init__(name=f"sandbox-redaction-{source}", daemon=True)
        # A debugger that stops all threads would otherwise stop the output it waits for.
        self.pydev_do_not_trace = self.is_pydev_daemon_thread = True
        self._source, self._target, self._current = source, target, current
        self._busy = False

    def is_quiet(self) -> bool:
        """Has everything that was written gone on, but for a possible beginning of a value?"""
        waiting = array.array("i", [0])
        if not self.is_alive():  # as in a forked process, where the original's copy does not run
            return True
        with suppress(OSError):  # it has just ended
            fcntl.ioctl(self._source, termios.FIONREAD, waiting)
        return not waiting[0] and not self._busy

    def run(self) -> None:
        """See the class."""
        readable = select.poll()
        readable.register(self._source, select.POLLIN)
        held = b""
        while True:
            more = bool(readable.poll(_PATIENCE if held else None))
            self._busy = True  # before the pipe is empty, so that nobody takes it for quiet in between
            chunk = os.read(self._source, _CHUNK) if more else b""
            ready, held = self._searched(held + chunk, bool(chunk))
            self._write(ready)
            self._busy = False
            if more and not chunk:
                break
        os.close(self._source)
        os.close(self._target)

    def _searched(self, raw: bytes, more: bool) -> tuple[bytes, bytes]:
        """What can go out, and what may be the beginning of a value; with no `more` to come all goes out."""
        try:
            redactor = self._current()
            clean = redactor.raw(raw)
            end = redactor.open_end(clean) if more else len(clean)
            return clean[:end], clean[end:]
        except Exception as error:  # noqa: BLE001 - a reader that ends would stop whoever writes
            return _WITHHELD % type(error).__name__.encode(), b""

    def _write(self, raw: bytes) -> None:
        try:
            while raw:
                raw = raw[os.write(self._target, raw) :]
        except OSError:
            return  # nobody reads any more: there is none to tell, and the writers go on

    def let_go(self, descriptor: int) -> None:
        """Put back what was there, and wait for the last words; not while a program of ours has the pipe."""
        os.dup2(self._target, descriptor)
        self.join(_LAST_WORDS)


def watch(watched: dict[int, Carrier], current: Callable[[], Redactor]) -> None:
    """Put pipes before the descriptors that lead out of this kernel and are not yet in `watched`."""
    for descriptor in sorted(_ways_out() - watched.keys()):
        target = os.dup(descriptor)
        source, entrance = os.pipe()
        os.dup2(entrance, descriptor, inheritable=os.get_inheritable(descriptor))
        os.close(entrance)
        watched[descriptor] = carrier = Carrier(source, target, current)
        carrier.start()
        worker: Any = sys.modules.get("multiprocessing.process")
        if worker is not None and worker.parent_process() is not None:
            # A forked worker ends without waiting for threads; what it wrote last would be lost.
            finish = sys.modules["multiprocessing.util"].Finalize
            finish(None, carrier.let_go, (descriptor,), exitpriority=-1)


def settle(carriers: Iterable[Carrier]) -> None:
    """Wait a moment for what was written, so that a cell's output comes before the cell's end."""
    deadline = time.monotonic() + _SETTLED
    for carrier in carriers:
        while not carrier.is_quiet() and time.monotonic() < deadline:
            time.sleep(0.0005)  # a pipe gives no event when it is empty


def _ways_out() -> set[int]:
    """1, 2, and what ipykernel kept of them: by these it copies into the log, and `fileno()` gives them."""
    streams: Any = sys.modules.get("ipykernel.iostream")
    found = {1, 2}
    for stream in (sys.stdout, sys.stderr):
        # Anything else that stands there is the user's own, such as a file.
        if streams is not None and isinstance(stream, streams.OutStream):
            try:
                found.add(stream.fileno())
            except OSError:
                continue  # it watches no descriptor, so it copies nothing
    return found
