"""Which pods may reach which doors? Registered ones, by ticket and key, from their own address alone.

Law: what is written about one pod is written by one at a time; a pod that is forgotten loses its connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace

from ..errors import ConfigurationError, RefusedError
from ..names import is_sandbox_id
from ..rules.wires import (
    DOORS,
    Head,
    PodRecord,
    is_digest,
    judge_key,
    judge_ticket,
    plain_address,
    target_of,
    unknown,
)
from .heads import answer, read_head
from .listener import Admitted
from .pod_book import PodBook
from .stream import TlsEnd

__all__ = ["Pods"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_CONNECTIONS = 512  # of one pod; its doors have caps of their own, with words of their own


class Pods:
    """The pods of this gateway: verbs register, address, forget, judge, sweep."""

    def __init__(self, book: PodBook, doors_dir: str) -> None:
        self._book = book
        self._doors = doors_dir
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        self._missed: frozenset[str] = frozenset()

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
            if known is None:
                await self._book.save(sandbox, PodRecord(ticket_sha256=ticket_sha256))
            elif known.ticket_sha256 != ticket_sha256:
                raise _differs(sandbox, "ticket")

    async def address(self, sandbox: str, address: str) -> None:
        """The pod has this address, which it keeps."""
        try:
            plain = plain_address(address)
        except ValueError:
            raise ConfigurationError(
                f"{address[:60]!r} is no IP address.",
                code="pods.invalid",
                field="address",
                remedy="Give the pod's status.podIP.",
            ) from None
        async with self._lock(sandbox):
            known = self._book.get(sandbox)
            if known is None:
                raise RefusedError(f"No pod {sandbox!r} is known.", code="sandbox.unknown", status=404)
            if known.address not in ("", plain):
                raise _differs(sandbox, "address")
            if known.address != plain:
                await self._book.save(sandbox, replace(known, address=plain))

    async def forget(self, sandbox: str) -> None:
        """Forget a pod and end its connections; no-op where it is not known."""
        async with self._lock(sandbox):
            await self._book.remove(sandbox)
            tasks = self._tasks.pop(sandbox, set())
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._locks.pop(sandbox, None)

    def inventory(self) -> dict[str, dict[str, object]]:
        """Every pod: its address, whether its ticket was used, and its connections."""
        found = {}
        for sandbox in self._book:
            record = self._book.get(sandbox)
            if record is not None:
                found[sandbox] = {
                    "address": record.address,
                    "used": bool(record.key_sha256),
                    "connections": len(self._tasks.get(sandbox, ())),
                }
        return found

    async def judge(self, end: TlsEnd, address: str) -> Admitted | None:
        """Sell a key, or open a door."""
        head, body = await read_head(end)
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
        if len(self._tasks.get(sandbox, ())) >= _CONNECTIONS:
            raise RefusedError(
                f"More than {_CONNECTIONS} connections of one sandbox.",
                code="pods.too_many",
                remedy="End some.",
                status=429,
            )
        return Admitted(f"{self._doors}/{sandbox}/{door}.sock", sandbox, self._held(sandbox))

    async def sweep(self) -> None:
        """Forget pods whose doors were gone at the last look already; for when the gateway answers."""
        there = await asyncio.to_thread(_names, self._doors)
        gone = {sandbox for sandbox in self._book if sandbox not in there}
        for sandbox in gone & self._missed:
            log.info("The doors of %s are gone; its pod is forgotten.", sandbox)
            await self.forget(sandbox)
        self._missed = frozenset(gone)

    async def _sell(self, head: Head, body: bytes, address: str) -> None:
        shown = head.shown
        sandbox = shown.sandbox if shown is not None else ""
        key = _key_of(body)
        if self._book.get(sandbox) is None:
            judge_ticket(None, shown, key, address)
        async with self._lock(sandbox):
            before = self._book.get(sandbox)
            after = judge_ticket(before, shown, key, address)
            if after != before:
                await self._book.save(sandbox, after)
                log.info("The ticket of %s was used by its pod.", sandbox)

    @contextlib.contextmanager
    def _held(self, sandbox: str) -> Iterator[None]:
        task = asyncio.current_task()
        if task is None or self._book.get(sandbox) is None:
            raise ConnectionAbortedError("the pod was forgotten meanwhile")
        held = self._tasks.setdefault(sandbox, set())
        held.add(task)
        try:
            yield
        finally:
            held.discard(task)

    def _lock(self, sandbox: str) -> asyncio.Lock:
        return self._locks.setdefault(sandbox, asyncio.Lock())


def _names(directory: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))
    except FileNotFoundError:
        return frozenset()


def _key_of(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    key = document.get("key_sha256") if isinstance(document, dict) else None
    return key if isinstance(key, str) else ""


def _differs(sandbox: str, what: str) -> RefusedError:
    return RefusedError(
        f"The pod {sandbox} is known with another {what}.",
        code="pods.differs",
        remedy="Every start has an id of its own; forget the old one first.",
        status=409,
    )
