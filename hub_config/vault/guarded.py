"""How does a server end with the program that started it, even where that one is killed?

The starter holds one end of a pipe. When it is gone, however, the pipe closes, and a shell that waits for it
sends the server a signal. (The kernel's own PR_SET_PDEATHSIG follows threads, and ours come and go.)
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import IO, Any

__all__ = ["end", "start"]

# $1 the signal, $2 the server's name in /proc: the number of a process that ended may be another's by then.
_WATCH = """
exec 3<&0 </dev/null
( read -r _ <&3
  [ "$(cat /proc/$$/comm)" = "$2" ] && kill -s "$1" $$ ) >/dev/null 2>&1 &
exec 3<&-
shift 2
exec "$@"
"""


def start(
    command: Sequence[str], log: IO[bytes], signal: str = "TERM", **options: Any
) -> subprocess.Popen[bytes]:
    """The server, in a session of its own: a Ctrl-C is for its starter. `options`: Popen's."""
    name = command[0].rpartition("/")[2]
    return subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "sh", signal, name, *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        **options,
    )


def end(process: subprocess.Popen[bytes], patience: float = 15.0) -> None:
    """Let it end in order; kill it where it has not after `patience` seconds."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
