"""How is an allowed name connected: resolved once, every address checked, only a checked address dialled.

Law: after the check nothing here uses the name again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

from ...clients.resolve import Resolver, own_addresses
from ...errors import EgressRefusedError
from ...models import EgressRule
from ...rules.addresses import parse_address
from ...rules.egress import Decision, check_addresses, opens_service, unresolved
from ...rules.services import service_places
from .answers import refusal
from .limits import Limits

__all__ = ["Upstream"]

Place = tuple[str, int]


class Upstream:
    """Dials allowed names. `internal_services` maps `name:port` to the `address:port` that answers for it."""

    def __init__(self, resolver: Resolver, internal_services: Mapping[str, str], limits: Limits) -> None:
        self._resolver = resolver
        self._limits = limits
        self._services = service_places(internal_services)

    async def connect(self, name: str, port: int, rule: EgressRule) -> tuple[socket.socket, str]:
        """A connected non-blocking socket and the address that answered.

        Raises EgressRefusedError: 403 for a refused address, 502 where nothing answers.
        """
        service = self._services.get((name, port)) if opens_service(rule, name) else None
        places = (service,) if service else await self._places(name, port, rule)
        failure = "no address answered"
        for place in places:
            try:
                # Shared out, so that one address that swallows packets leaves time for the next.
                seconds = self._limits.connect_seconds / len(places)
                return await asyncio.wait_for(_dial(place), seconds), place[0]
            except asyncio.TimeoutError:
                failure = f"no answer in {self._limits.connect_seconds:g} s"
            except OSError as error:
                failure = error.strerror or str(error)
        raise _unreachable(f"{name}:{port} cannot be reached: {failure}.", rule)

    async def _places(self, name: str, port: int, rule: EgressRule) -> tuple[Place, ...]:
        literal = parse_address(name)
        addresses = (name,) if literal else await self._resolver.addresses(name, port)
        if not addresses:
            raise refusal(unresolved(name), 502)
        decision = check_addresses(rule, addresses, own_addresses(addresses))
        if not decision.allowed:
            raise refusal(decision)
        return tuple((address, port) for address in addresses)


async def _dial(place: Place) -> socket.socket:
    connection = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(connection, place)
    except BaseException:  # also when cancelled: the socket has no other owner yet
        connection.close()
        raise
    return connection


def _unreachable(message: str, rule: EgressRule) -> EgressRefusedError:
    return refusal(Decision(False, "egress.unreachable", message, rule.text or rule.pattern), 502)
