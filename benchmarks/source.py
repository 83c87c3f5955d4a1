"""`python source.py PORT`: who sends the bytes of the egress rows? A server that costs next to nothing.

A client writes a number and a newline and is sent that many bytes by sendfile from memory, then the end.
Standard library only.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

__all__ = ["main"]

_SIZE = 64 << 20


def _serve(connection: socket.socket, memory: int) -> None:
    with connection:
        asked = b""
        while not asked.endswith(b"\n"):
            chunk = connection.recv(64)
            if not chunk:
                return
            asked += chunk
        left = int(asked)
        try:
            while left:
                left -= os.sendfile(connection.fileno(), memory, 0, min(left, _SIZE))
        except OSError:  # the client left before its end
            return


def main() -> int:
    """Serve until a signal ends it."""
    memory = os.memfd_create("source")
    for _ in range(_SIZE >> 20):
        os.write(memory, os.urandom(1 << 20))
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512) as listener:
        while True:
            connection = listener.accept()[0]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(connection, memory), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
