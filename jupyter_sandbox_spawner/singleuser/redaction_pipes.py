"""How are values kept out of what programs write past Python, to descriptors 1 and 2? By a pipe in between.

ipykernel shows such output in the notebook and copies it to the server's log, which is the container's.
Law: a pipe's reader never stops, or the program that writes would wait for ever.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from .spellings import Redactor

__all__ = ["carry", "watch"]

_CHUNK = 65536
_PATIENCE = 200  # milliseconds that a possible beginning of a value waits for its end
_LAST_WORDS = 1.0  # seconds
_WITHHELD = b"\n[output is withheld: it could not be searched for secrets (%s)]\n"


def watch(watched: set[int], current: Callable[[], Redactor]) -> None:
    """Put pipes before the descriptors that lead out of this kernel and are not yet in `watched`."""
    for descriptor in sorted(_ways_out() - watched):
        _interpose(descriptor, current)
        watched.add(descriptor)


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


def _interpose(descriptor: int, current: Callable[[], Redactor]) -> None:
    target = os.dup(descriptor)
    source, entrance = os.pipe()
    os.dup2(entrance, descriptor, inheritable=os.get_inheritable(descriptor))
    os.close(entrance)
    name = f"sandbox-redaction-{descriptor}"
    thread = threading.Thread(target=carry, args=(source, target, current), name=name, daemon=True)
    # A debugger that stops all threads would otherwise stop the output it waits for.
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    thread.start()
    worker: Any = sys.modules.get("multiprocessing.process")
    if worker is not None and worker.parent_process() is not None:
        # A forked worker ends without waiting for threads; what it wrote last would be lost.
        finish = sys.modules["multiprocessing.util"].Finalize
        finish(None, _let_go, (descriptor, target, thread), exitpriority=-1)


def _let_go(descriptor: int, target: int, thread: threading.Thread) -> None:
    os.dup2(target, descriptor)  # so that the pipe ends, unless a program of the worker's still has it
    thread.join(_LAST_WORDS)


def carry(source: int, target: int, current: Callable[[], Redactor]) -> None:
    """Copy one to the other without values until all writers have closed; then close both."""
    readable = select.poll()
    readable.register(source, select.POLLIN)
    held = b""
    while True:
        chunk = b""
        if not held or readable.poll(_PATIENCE):
            chunk = os.read(source, _CHUNK)
            if not chunk:
                break
        ready, held = _searched(held + chunk, bool(chunk), current)
        _write(target, ready)
    _write(target, _searched(held, False, current)[0])
    os.close(source)
    os.close(target)


def _searched(raw: bytes, more: bool, current: Callable[[], Redactor]) -> tuple[bytes, bytes]:
    """What can go out, and what may be the beginning of a value; with no `more` to come all goes out."""
    try:
        redactor = current()
        clean = redactor.raw(raw)
        end = redactor.open_end(clean) if more else len(clean)
        return clean[:end], clean[end:]
    except Exception as error:  # noqa: BLE001 - a reader that ends would stop whoever writes
        return _WITHHELD % type(error).__name__.encode(), b""


def _write(target: int, raw: bytes) -> None:
    try:
        while raw:
            raw = raw[os.write(target, raw) :]
    except OSError:
        return  # nobody reads any more: there is none to tell, and the writers go on
