"""What happens in here when control says that the end is near? It is kept for kernels and put on terminals.

Law: a notice is text by others: only printable ASCII of it reaches a terminal, in one short write that never
waits. Nothing in here may harm the server or stop the teller.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "Heard",
    "Notice",
    "about_end",
    "answers",
    "keep_for_kernels",
    "next_wait",
    "printable",
    "put_on_terminals",
    "read_notices",
    "write_json",
]

FILE = "sandbox-notices.json"  # in JUPYTER_RUNTIME_DIR, which is this sandbox's own
TERMINALS = "/dev/pts"
TERMINALS_VARIABLE = "JUPYTER_SANDBOX_TERMINALS"
_PTS_MAJORS = range(136, 144)
_MOST_TERMINALS = 256
_MOST_NOTICES = 20  # about an end
_MOST_ANSWERS = 10  # about hosts
_ANSWER = "egress_request"
_MOST_WORDS = 300
_SOONEST = 1.0  # seconds


class Notice(NamedTuple):
    """One notice of control; `at` is an instant in seconds since 1970, None where it is about no end."""

    id: int
    kind: str
    code: str
    why: str
    at: float | None


class Heard:
    """The number of the last notice, and the ends that were told of."""

    def __init__(self) -> None:
        self.number = 0
        self._kept: list[Notice] = []

    def take(self, answer: bytes) -> list[Notice]:
        """The new notices in control's answer, oldest first."""
        new = [notice for notice in read_notices(answer) if notice.id > self.number]
        if new:
            self.number = max(notice.id for notice in new)
            all_of_them = [*self._kept, *new]
            kept = about_end(all_of_them)[-_MOST_NOTICES:] + answers(all_of_them)[-_MOST_ANSWERS:]
            self._kept = sorted(kept)
        return new

    @property
    def kept(self) -> Sequence[Notice]:
        """The last ones."""
        return tuple(self._kept)

    def wait(self, every: float) -> float:
        """Seconds until control is asked again."""
        return next_wait(every, [notice.at for notice in self._kept if notice.at is not None], time.time())


def about_end(notices: Sequence[Notice]) -> list[Notice]:
    """Those about an end of the sandbox."""
    return [notice for notice in notices if notice.kind != _ANSWER]


def answers(notices: Sequence[Notice]) -> list[Notice]:
    """Those about hosts that were asked for."""
    return [notice for notice in notices if notice.kind == _ANSWER]


def read_notices(answer: bytes) -> list[Notice]:
    """Notices of an HTTP answer; none where it is not one, or says something else."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        return []
    try:
        found = json.loads(body)["notices"]
        return sorted(filter(None, map(_notice, found[: _MOST_NOTICES + _MOST_ANSWERS])))
    except (ValueError, TypeError, LookupError, RecursionError):
        return []


def _notice(item: Mapping[str, Any]) -> Notice | None:
    if type(item["id"]) is not int:
        return None
    at = item.get("at")
    from datetime import datetime  # here: the process beside a server starts smaller without it

    instant = None if at is None else datetime.fromisoformat(str(at).replace("Z", "+00:00")).timestamp()
    kind, code, why = (printable(str(item.get(name) or "")) for name in ("kind", "code", "why"))
    return Notice(item["id"], kind, code, why, instant)


def printable(text: str) -> str:
    """One line of printable ASCII: in bytes beyond it an old terminal may see commands."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text)[:_MOST_WORDS]


def next_wait(every: float, ends: Sequence[float], now: float) -> float:
    """Seconds until the next word: a tenth of what is left, so that the request to save comes in time."""
    left = [end - now for end in ends if end > now]
    return min(every, max(_SOONEST, min(left) / 10)) if left else every


def keep_for_kernels(notices: Sequence[Notice], environment: Mapping[str, str]) -> None:
    """Put them where a kernel finds them without asking anybody; no-op without a runtime directory."""
    directory = environment.get("JUPYTER_RUNTIME_DIR", "")
    if directory:
        write_json(os.path.join(directory, FILE), {"notices": [notice._asdict() for notice in notices]})


def write_json(path: str, document: object) -> None:
    """A whole file or none, over whatever stands there under that name."""
    temporary = f"{path}.{os.getpid()}"
    with contextlib.suppress(OSError):
        os.unlink(temporary)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
        os.rename(temporary, path)
    except OSError:  # a full home: what else is to be done still is
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def put_on_terminals(text: str, environment: Mapping[str, str]) -> int:
    """Write one line to each terminal of the sandbox, as wall does; how many took it.

    A stopped terminal, and what only looks like one, is passed over.
    """
    directory = environment.get(TERMINALS_VARIABLE) or TERMINALS
    line = f"\r\nSandbox: {printable(text)}\r\n".encode("ascii")
    try:
        names = [name for name in os.listdir(directory) if name.isdigit()]
    except OSError:
        return 0
    return sum(_put(os.path.join(directory, name), line) for name in names[:_MOST_TERMINALS])


def _put(path: str, line: bytes) -> bool:
    try:
        # O_NONBLOCK: neither a FIFO without a reader nor a terminal that was stopped is waited for.
        terminal = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        kind = os.fstat(terminal)
        if not stat.S_ISCHR(kind.st_mode) or os.major(kind.st_rdev) not in _PTS_MAJORS:
            return False
        return os.write(terminal, line) > 0
    except OSError:
        return False
    finally:
        os.close(terminal)
