"""Which pods may reach which doors? Registered ones, by ticket and key, from their own address alone.

Law: what is written about one pod is written by one at a time. A pod that is forgotten or suspended loses its
connections; an id that was forgotten is nobody's again while its doors are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

from ..errors import ConfigurationError, RefusedError
from ..names import is_sandbox_id
from ..rules.pod_doors import DENIED, DOORS, Room
from ..rules.wires import (
    Head,
    PodRecord,
    is_digest,
    judge_key,
    judge_ticket,
    plain_address,
    target_of,
    unknown,
)
from .heads import answer
from .listener import Admitted
from .pod_book import PodBook
from .pod_connections import PodConnections
from .stream import TlsEnd

__all__ = ["Pods"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
# Seconds without doors: a forgotten id may go, and a pod whose end nobody told of is forgotten. Doors are
# closed in a quarantine too, and control, which undoes or ends that, may be away for a while.
_USED_UP, _LEFT_OVER = 60.0, 86_400.0
_BODY = re.compile(rb'\s*\{\s*"key_sha256"\s*:\s*"([0-9a-f]{64})"\s*\}\s*')
Denied = Callable[[str, str, str], None]  # the code of the refusal, whose pod it claimed to be, the address


class Pods:
    """The pods of this gateway: verbs register, address, suspend, resume, forget, judge, sweep."""

    def __init__(self, book: PodBook, doors_dir: str, room: Room, denied: Denied = lambda *_: None) -> None:
        """`denied` hears of attempts that no pod of ours makes by itself."""
        self._book = book
        self._doors = doors_dir
        self._connections = PodConnections(room)
        self._locks: dict[str, asyncio.Lock] = {}
        self._addressing = asyncio.Lock()
        self._denied = denied
        self._missing: dict[str, float] = {}  # since when an id has no doors

    def __len__(self) -> int:
        return len(self._book)

    async def register(self, sandbox: str, ticket_sha256: str) -> None:
        """A pod will come with this ticket; the same again changes nothing."""
        if not is_sandbox_id(sandbox) or not is_digest(ticket_sha256):
            raise ConfigurationError(
                f"{sandbox[:60]!r} with that digest is no pod.",
                code="pods.invalid",
                field="ticket_sha256",
                remedy="Give a sandbox's id and the SHA-256 of its ticket, in 64 hexadecimal digits.",
            )
        async with self._lock(sandbox):
            known = self._book.get(sandbox)
            if sandbox in self._book.gone:
                raise _differs(f"The pod {sandbox} was forgotten, and its doors may still be there.")
            if known is None:
                await self._book.save(sandbox, PodRecord(ticket_sha256=ticket_sha256))
            elif known.ticket_sha256 != ticket_sha256:
                raise _differs(f"The pod {sandbox} is known with another ticket.")

    async def address(self, sandbox: str, address: str) -> None:
        """The pod has this address, which it keeps; another pod that had it is over, and is forgotten."""
        plain = _plain(address)
        async with self._addressing:
            async with self._lock(sandbox):
                known = self._book.get(sandbox)
                if known is None:
                    raise RefusedError(f"No pod {sandbox!r} is known.", code="sandbox.unknown", status=404)
                if known.address not in ("", plain):
                    raise _differs(f"The pod {sandbox} is known with another address.")
                if known.address != plain:
                    await self._book.save(sandbox, replace(known, address=plain))
            for other in self._book:
                record = self._book.get(other)
                if other != sandbox and record is not None and record.address == plain:
                    log.warning("%s has the address of %s now, whose pod is forgotten.", sandbox, other)
                    await self.forget(other)

    async def suspend(self, sandbox: str) -> None:
        """End a pod's connections and let it in no more, until `resume`; no-op where it is not known."""
        async with self._lock(sandbox):
            known = self._book.get(sandbox)
            if known is None:
                return
            closed = replace(known, suspended=True)
            self._book.shut(sandbox, closed)
            await self._connections.end(sandbox)
            await self._book.save(sandbox, closed)
            log.info("The pod of %s is suspended.", sandbox)

    async def resume(self, sandbox: str) -> None:
        """Let it in again, as it was; no-op where it is not suspended, or not known."""
        async with self._lock(sandbox):
            known = self._book.get(sandbox)
            if known is not None and known.suspended:
                await self._book.save(sandbox, replace(known, suspended=False))
                log.info("The pod of %s is let in again.", sandbox)

    async def forget(self, sandbox: str) -> None:
        """Forget a pod and end its connections; no-op where it is not known."""
        if not is_sandbox_id(sandbox):
            return
        self._book.drop(sandbox)
        await self._connections.end(sandbox)
        self._locks.pop(sandbox, None)
        await self._book.erase(sandbox)

    def inventory(self) -> dict[str, dict[str, object]]:
        """Every pod: its address, whether its ticket was used, its connections, and is it suspended."""
        found = {}
        for sandbox in self._book:
            record = self._book.get(sandbox)
            if record is not None:
                found[sandbox] = {
                    "address": record.address,
                    "used": bool(record.key_sha256),
                    "connections": self._connections.of(sandbox),
                    "suspended": record.suspended,
                }
        return found

    async def judge(self, end: TlsEnd, head: Head, body: bytes, address: str) -> Admitted | None:
        """Sell a key, or open a door."""
        try:
            return await self._judge(end, head, body, address)
        except RefusedError as error:
            if error.code in DENIED:
                self._denied(error.code, head.shown.sandbox if head.shown is not None else "", address)
            raise

    async def _judge(self, end: TlsEnd, head: Head, body: bytes, address: str) -> Admitted | None:
        if (head.method, head.target) == ("POST", "/ticket"):
            await self._sell(head, body, address)
            await answer(end, 204)
            return None
        if head.method != "CONNECT":
            raise unknown(f"{head.method[:16]} {head.target}")
        door, shown = target_of(head.target), head.shown
        sandbox = shown.sandbox if shown is not None else ""
        judge_key(self._book.get(sandbox), shown, address)
        if door not in DOORS:
            raise unknown(head.target)
        self._connections.check(sandbox, door, len(self._book))
        return Admitted(f"{self._doors}/{sandbox}/{door}.sock", sandbox, self._held(sandbox, door))

    async def sweep(self, now: float) -> None:
        """Forget whose doors are gone for long, and let go of forgotten ids; for when the gateway answers.

        `now` is a steady clock's.
        """
        there = await asyncio.to_thread(_names, self._doors)
        gone = self._book.gone
        self._missing = {
            sandbox: self._missing.get(sandbox, now)
            for sandbox in (*self._book, *gone)
            if sandbox not in there
        }
        for sandbox, since in tuple(self._missing.items()):
            if sandbox in gone and now - since >= _USED_UP:
                await self._book.lift(sandbox)
            elif sandbox not in gone and now - since >= _LEFT_OVER:
                log.info("The doors of %s are gone for a day; its pod is forgotten.", sandbox)
                await self.forget(sandbox)

    async def _sell(self, head: Head, body: bytes, address: str) -> None:
        shown = head.shown
        sandbox = shown.sandbox if shown is not None else ""
        found = _BODY.fullmatch(body)
        key = found[1].decode() if found is not None else ""
        if self._book.get(sandbox) is None:
            judge_ticket(None, shown, key, address)
        async with self._lock(sandbox):
            before = self._book.get(sandbox)
            after = judge_ticket(before, shown, key, address)
            if after != before:
                await self._book.save(sandbox, after)
                log.info("The ticket of %s was used by its pod.", sandbox)

    @contextlib.contextmanager
    def _held(self, sandbox: str, door: str) -> Iterator[None]:
        record = self._book.get(sandbox)
        if record is None or record.suspended:
            raise ConnectionAbortedError("the pod was forgotten or suspended meanwhile")
        with self._connections.hold(sandbox, door):
            yield

    @contextlib.asynccontextmanager
    async def _lock(self, sandbox: str) -> AsyncIterator[None]:
        async with self._locks.setdefault(sandbox, asyncio.Lock()):
            yield
        if self._book.get(sandbox) is None:  # whoever asks for one that is not known leaves nothing
            self._locks.pop(sandbox, None)


def _plain(address: str) -> str:
    try:
        return plain_address(address)
    except ValueError:
        raise ConfigurationError(
            f"{address[:60]!r} is no IP address.",
            code="pods.invalid",
            field="address",
            remedy="Give the pod's status.podIP.",
        ) from None


def _names(directory: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))
    except FileNotFoundError:
        return frozenset()


def _differs(why: str) -> RefusedError:
    return RefusedError(
        why,
        code="pods.differs",
        remedy="Every start has an id of its own: start the server again.",
        status=409,
    )
