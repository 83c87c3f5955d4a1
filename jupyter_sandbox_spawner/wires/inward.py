"""Who may come from other machines to this program's sockets? The programs that call them, by certificate."""

from __future__ import annotations

import contextlib

from ..rules.wires import Head, check_program, target_of, unknown
from ..settings import Site
from .listener import Admitted
from .stream import TlsEnd
from .tls import peer_program

__all__ = ["Inward"]


class Inward:
    """The sockets of one program, as other programs' wires may reach them."""

    def __init__(self, site: Site, program: str) -> None:
        self._site = site
        self._sockets = site.sockets_of(program)

    async def judge(self, end: TlsEnd, head: Head, _body: bytes, address: str) -> Admitted:
        """Say where a head leads; raises RefusedError `wires.*`."""
        caller = peer_program(end.tls)
        if head.method != "CONNECT":
            raise unknown(f"{head.method[:16]} {head.target}")
        name = target_of(head.target)
        if name not in self._sockets:
            raise unknown(head.target)
        check_program(caller, name, self._sockets[name])
        who = f"{caller} at {address}"
        return Admitted(self._site.socket_path(name), who, contextlib.nullcontext(), head.framed)
