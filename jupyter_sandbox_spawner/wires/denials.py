"""How does the audit hear of whom the wires refused at the pods' port? Counted, and told to the gateway.

Law: however often and under whatever names somebody tries, it costs the gateway a few calls in some seconds.
What is told names an address and sandboxes, and never a ticket or key.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from ..errors import AnswerError, SandboxError, UnreachableError
from ..rules.pod_doors import PodDenial
from .counts import Counts
from .pod_book import PodBook

__all__ = ["Denials"]

log = logging.getLogger("jupyter_sandbox_spawner.wires")
_PACE = 5.0  # seconds between two tellings
_OF_ADDRESS = 8  # different attempts of an address that are told apart
_ADDRESSES = 1024  # told apart
Tell = Callable[[str, PodDenial], Awaitable[None]]


class Denials:
    """Verbs: note, serve. `tell` raises SandboxError; its sandbox is "" where nobody's pod was refused."""

    def __init__(self, book: PodBook, tell: Tell, counts: Counts, pace: float = _PACE) -> None:
        self._book, self._tell, self._counts, self._pace = book, tell, counts, pace
        self._noted: dict[str, Counter[tuple[str, str]]] = {}
        self._some = asyncio.Event()

    def note(self, code: str, claimed: str, address: str, count: int = 1) -> None:
        """Somebody at this address was refused, who claimed to be this sandbox's pod."""
        if address not in self._noted and len(self._noted) >= _ADDRESSES:
            address = ""
        own = self._noted.setdefault(address, Counter())
        what = (code, claimed if self._book.get(claimed) is not None else "")
        own[what if what in own or len(own) < _OF_ADDRESS else (code, "")] += count
        self._some.set()

    async def serve(self) -> None:
        """Tell at once and then at a pace, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            noted, self._noted = self._noted, {}
            pods = self._by_address()
            for address, own in noted.items():
                for (code, claimed), count in own.items():
                    denial = PodDenial(code=code, address=address, claimed=claimed, count=count)
                    await self._say(pods.get(address, claimed), denial)
            await asyncio.sleep(self._pace)

    async def _say(self, sandbox: str, denial: PodDenial) -> None:
        """Whose pod is there, or else whom it claimed to be: the one that tries, or the one that is tried."""
        try:
            try:
                await self._tell(sandbox, denial)
            except AnswerError as error:
                if error.status != 404 or not sandbox:
                    raise
                await self._tell("", denial)  # its doors are closed
        except UnreachableError:  # the gateway restarts
            self.note(denial.code, denial.claimed, denial.address, denial.count)
        except SandboxError as error:
            self._counts.say(("denials",), "The audit does not hear of who was refused: %s", error)
        except Exception:  # whatever the gateway answers, pods are carried on
            log.exception("The audit does not hear of who was refused.")

    def _by_address(self) -> dict[str, str]:
        records = ((sandbox, self._book.get(sandbox)) for sandbox in self._book)
        return {
            record.address: sandbox for sandbox, record in records if record is not None and record.address
        }
