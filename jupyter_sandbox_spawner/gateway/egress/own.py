"""How is a program of this site reached by a name that only sandboxes know?

Law: who is asking is said here, by headers that a client cannot set; without CONNECT, which would hide them.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

import h11

from ...errors import EgressRefusedError
from ...rules.egress import Decision, normalise_host
from ..asking import AnswerTooLargeError, AskedProgram, Question, UnansweredError
from .account import EgressAccount
from .answers import refusal
from .caps import Meter
from .request import ProxyRequest

__all__ = ["OwnService", "OwnServices", "Uncounted", "away", "away_bytes", "with_identity"]

_ALIVE = 2.0  # seconds that /health may take
_CONNECT = 3.0
_PATIENCE = 3.0  # until a program that has not begun to answer is asked again whether it lives
_OURS = b"x-sandbox-"
# A status that MLflow's client does not try again: it would hide the sentence, and take a minute for it.
_AWAY_STATUS = 424


@dataclass(frozen=True, kw_only=True)
class OwnService:
    """`name:port` as sandboxes write it, the socket that answers, and what people call the program."""

    name: str
    port: int
    path: str
    called: str


class OwnServices:
    """The site's own services; each is asked whether it lives: a held socket takes connections without it."""

    def __init__(self, services: tuple[OwnService, ...]) -> None:
        self._services = {(item.name, item.port): item for item in services}
        self._asked = {item.name: AskedProgram(path=item.path, held=False) for item in services}
        self._answered: dict[str, float] = {}

    def find(self, host: str, port: int) -> OwnService | None:
        """The service of this name and port."""
        return self._services.get((normalise_host(host) or "", port))

    async def connect(self, service: OwnService) -> socket.socket:
        """A connected non-blocking socket. Raises EgressRefusedError `tracking.away`."""
        try:
            await self._check(service)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.setblocking(False)
                dialled = asyncio.get_running_loop().sock_connect(connection, service.path)
                await asyncio.wait_for(dialled, _CONNECT)
            except BaseException:  # also when cancelled: the socket has no other owner yet
                connection.close()
                raise
        except (OSError, asyncio.TimeoutError, UnansweredError, AnswerTooLargeError) as error:
            self._answered.pop(service.name, None)
            raise away(service) from error
        return connection

    async def watch(
        self, service: OwnService, carrying: asyncio.Task[None], has_begun: Callable[[], bool]
    ) -> None:
        """Wait for one request's end; a program that does not answer meanwhile is asked whether it lives.

        Raises what `carrying` raises, and EgressRefusedError `tracking.away`.
        """
        try:
            while not (await asyncio.wait({carrying}, timeout=_PATIENCE))[0]:
                if not has_begun():
                    await self._ask(service)
            await carrying
        except (UnansweredError, AnswerTooLargeError) as error:
            self._answered.pop(service.name, None)
            raise away(service) from error
        finally:
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)

    async def _check(self, service: OwnService) -> None:
        clock = asyncio.get_running_loop().time
        if clock() - self._answered.get(service.name, -_ALIVE) < _ALIVE:
            return
        await self._ask(service)
        self._answered[service.name] = clock()

    async def _ask(self, service: OwnService) -> None:
        await self._asked[service.name].ask(Question(method="GET", target="/health", seconds=_ALIVE))


class Uncounted(Meter):
    """Bytes to a program of this site are no traffic to the outside."""

    def room(self, most: int) -> int:
        """As many as wanted."""
        return most

    def up(self, count: int) -> None:
        """Nothing to count."""

    def down(self, count: int) -> None:
        """Nothing to count."""


def with_identity(request: ProxyRequest, account: EgressAccount) -> ProxyRequest:
    """The request as the service may believe it. Raises EgressRefusedError for CONNECT."""
    if request.verb == "CONNECT":
        message = f"{request.host} is reached by plain HTTP: write http://, not https:// and no CONNECT."
        raise refusal(Decision(False, "egress.http_only", message, ""))
    kept = [
        (name, value)
        for name, value in request.head.headers
        if not name.replace(b"_", b"-").startswith(_OURS)
    ]
    ours = {"id": account.id, "user": quote(account.user, safe=""), "server": quote(account.server, safe="")}
    ours |= {"zone": account.zone} if account.zone else {}
    added = [(_OURS + name.encode(), text.encode()) for name, text in ours.items()]
    head = h11.Request(method=request.head.method, target=request.head.target, headers=[*kept, *added])
    return replace(request, head=head)


def away(service: OwnService) -> EgressRefusedError:
    """It does not answer now."""
    message = f"{service.called} does not answer now; it may be starting, which takes half a minute."
    return EgressRefusedError(
        message,
        code="tracking.away",
        remedy="Run the cell again in a minute; if it stays, see %sandbox mlflow and tell the hub's admin.",
        status=_AWAY_STATUS,
    )


def away_bytes(error: EgressRefusedError) -> bytes:
    """A whole HTTP/1.1 answer that MLflow's client shows as one sentence."""
    document = {
        "error_code": "TEMPORARILY_UNAVAILABLE",
        "message": f"{error} ({error.code})",
        "code": error.code,
    }
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {_AWAY_STATUS} Sandbox cannot reach MLflow now; see %sandbox mlflow\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-Sandbox-Deny: {error.code}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
