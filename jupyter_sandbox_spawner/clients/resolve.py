"""Which addresses answer for a name, and are they this host's own?"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from ..rules.addresses import parse_address

__all__ = ["Resolver", "SystemResolver", "own_addresses"]

log = logging.getLogger("jupyter_sandbox_spawner.resolve")
_THREADS = 16


class Resolver(Protocol):
    """Looks names up: verbs addresses, close."""

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Every address of a normalised name, in the order to try; empty where there is none."""

    def close(self) -> None:
        """Give back what the resolver holds; lookups that are running are left to end."""


class SystemResolver:
    """The host's own resolver (getaddrinfo), in threads of its own, with a deadline in seconds."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Ask getaddrinfo; a failure or a deadline is logged and counts as no address."""
        loop = asyncio.get_running_loop()
        lookup = loop.run_in_executor(self._threads, _look_up, host, port)
        try:
            return await asyncio.wait_for(lookup, self._seconds)
        except asyncio.TimeoutError:
            log.warning("No answer from DNS for %s in %s s", host, self._seconds)
        except (OSError, UnicodeError) as error:
            log.info("No address for %s: %s", host, error)
        return ()

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def own_addresses(addresses: Iterable[str]) -> frozenset[str]:
    """Those of the addresses that this host answers to itself.

    The kernel takes an own address as the source too: connecting a datagram socket tells, and sends nothing.
    """
    return frozenset(address for address in addresses if _is_own(address))


def _is_own(address: str) -> bool:
    if parse_address(address) is None:
        return False  # refused by the check of addresses; asking here could look it up
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:
            return False  # no route: the connection itself will fail and say so
        return bool(probe.getsockname()[0] == address)


def _look_up(host: str, port: int) -> tuple[str, ...]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in answers))
