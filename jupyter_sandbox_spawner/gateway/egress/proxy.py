"""What happens to one connection at the egress door: read, decided, resolved, checked, carried?

Law: one request a connection, and every refusal is both answered and audited.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any
from weakref import WeakValueDictionary

import h11

from ...clients.resolve import Resolver
from ...errors import EgressRefusedError
from ...models import EgressRule
from ...rules.egress import Decision, check_server_name, decide, normalise_host
from .account import EgressAccount
from .answers import ESTABLISHED, TLS_ACCESS_DENIED, answer, refusal, refusal_bytes
from .caps import Caps, Meter
from .forward import forward, has_begun
from .hello import HelloReader
from .limits import Limits
from .own import OwnService, OwnServices, Uncounted, away, away_bytes, with_identity
from .pace import Turns
from .request import ProxyRequest, read_request
from .tunnel import Tunnels
from .upstream import Upstream

__all__ = ["EgressHandler"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")
_TLS_PORT = 443


@dataclass
class _Visit:
    """What is known so far about one connection, for the audit; `speaks` is what the client expects now."""

    client: socket.socket
    account: EgressAccount
    turns: Turns
    host: str = ""
    port: int = 0
    verb: str = ""
    rule: str = ""
    address: str = ""
    speaks: str = "http"  # then "tls", then "nothing"


class EgressHandler:
    """Serves connections of all sandboxes; owns its resolver.

    `internal_services` maps `name:port` to the `address:port` that answers for it, without DNS; a rule
    must still allow the name. `own` are programs of this site: no rule is needed, and they are told who asks.
    `now` is the clock that ends rules.
    """

    def __init__(
        self,
        resolver: Resolver,
        internal_services: Mapping[str, str],
        limits: Limits | None = None,
        own: tuple[OwnService, ...] = (),
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._now = now
        self._own = OwnServices(own)
        self._limits = limits or Limits()
        self._resolver = resolver
        self._upstream = Upstream(resolver, internal_services, self._limits)
        self._hellos = HelloReader(self._limits)
        self._tunnels = Tunnels(self._limits)
        self._caps = Caps()
        self._turns: WeakValueDictionary[str, Turns] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, connection: socket.socket, account: EgressAccount) -> None:
        """Serve one connection to its end; owns and closes the (non-blocking) socket."""
        task: asyncio.Task[None] | None = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        visit = _Visit(connection, account, self._turns.setdefault(account.id, Turns()))
        try:
            with connection:
                await self._guarded(visit)
        finally:
            if task is not None:
                self._tasks.discard(task)

    async def close(self) -> None:
        """End every connection, then give back pipes and threads."""
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tunnels.close()
        self._resolver.close()

    async def _guarded(self, visit: _Visit) -> None:
        try:
            try:
                with self._caps.connection(visit.account):
                    await self._serve(visit)
            except EgressRefusedError as error:
                _audit(visit, Decision(False, error.code, error.message, visit.rule))
                await _tell(visit, error)
        except (OSError, asyncio.TimeoutError, h11.ProtocolError) as error:
            log.debug("%s: connection to %s:%s ended: %r", visit.account.id, visit.host, visit.port, error)

    async def _serve(self, visit: _Visit) -> None:
        request = await read_request(visit.client, self._limits, visit.turns)
        visit.host, visit.port, visit.verb = request.host, request.port, request.verb
        service = self._own.find(request.host, request.port)
        if service is not None:
            await self._to_own(visit, with_identity(request, visit.account), service)
            return
        rule = self._admit(visit)
        upstream, visit.address = await self._upstream.connect(visit.host, visit.port, rule)
        with upstream:
            if request.verb == "CONNECT":
                work = self._tunnel(visit, request, upstream)
            else:
                work = self._forward(visit, request, upstream, Meter(visit.account))
            await (work if rule.until is None else self._while_held(visit, work))

    async def _while_held(self, visit: _Visit, work: Coroutine[Any, Any, None]) -> None:
        """Do it, and end it soon after nothing opens the host any more."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self._limits.sweep_seconds))[0]:
                if not decide(visit.account.policy, visit.host, visit.port, self._now())[0].allowed:
                    visit.speaks = "nothing"
                    message = f"{visit.host}:{visit.port} was open for a time, which is over."
                    raise refusal(Decision(False, "egress.grant_over", message, visit.rule))
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _admit(self, visit: _Visit) -> EgressRule:
        self._caps.spend(visit.account, asyncio.get_running_loop().time())
        decision, rule = decide(visit.account.policy, visit.host, visit.port, self._now())
        visit.host = normalise_host(visit.host) or visit.host
        visit.rule = decision.rule
        if rule is None:
            raise refusal(decision)
        Meter(visit.account).room(1)
        return rule

    async def _to_own(self, visit: _Visit, request: ProxyRequest, service: OwnService) -> None:
        visit.host, visit.rule = service.name, "site"
        await self._caps.turn(visit.account)
        try:
            with await self._own.connect(service) as upstream:
                visit.address = "unix"
                work = self._forward(visit, request, upstream, Uncounted(visit.account))
                await self._own.watch(service, asyncio.create_task(work), lambda: has_begun(request))
        except EgressRefusedError as error:
            if has_begun(request):
                raise
            # Its death in the middle of a request is for the person the same as its absence.
            told = error if error.code == "tracking.away" else away(service)
            _audit(visit, Decision(False, told.code, told.message, visit.rule))
            await answer(visit.client, away_bytes(told), visit.turns)

    async def _tunnel(self, visit: _Visit, request: ProxyRequest, upstream: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        meter = Meter(visit.account)
        await loop.sock_sendall(visit.client, ESTABLISHED)
        visit.speaks = "tls"
        first = request.machine.trailing_data[0]
        if visit.port == _TLS_PORT:
            first = await self._checked_hello(visit, first)
        visit.speaks = "nothing"
        _audit(visit, Decision(True, "egress.allowed", "", visit.rule))
        if first:
            meter.up(len(first))
            await asyncio.wait_for(loop.sock_sendall(upstream, first), self._limits.stall_seconds)
        await self._tunnels.carry(visit.client, upstream, meter, visit.turns)

    async def _checked_hello(self, visit: _Visit, first: bytes) -> bytes:
        hello = await self._hellos.read(visit.client, first, visit.turns)
        decision = check_server_name(visit.host, hello.server_name)
        if not decision.allowed:
            raise refusal(decision)
        return hello.raw

    async def _forward(
        self, visit: _Visit, request: ProxyRequest, upstream: socket.socket, meter: Meter
    ) -> None:
        _audit(visit, Decision(True, "egress.allowed", "", visit.rule))
        checked = replace(request, host=f"[{visit.host}]" if ":" in visit.host else visit.host)
        try:
            await forward(checked, visit.client, upstream, meter, self._limits, visit.turns)
        except EgressRefusedError:
            if has_begun(request):
                visit.speaks = "nothing"
            raise
        await answer(visit.client, b"", visit.turns)


def _audit(visit: _Visit, decision: Decision) -> None:
    visit.account.egress_decided(visit.host, visit.port, visit.verb, decision, visit.address)


async def _tell(visit: _Visit, error: EgressRefusedError) -> None:
    if visit.speaks == "http":
        await answer(visit.client, refusal_bytes(error, visit.host), visit.turns)
    elif visit.speaks == "tls":
        await answer(visit.client, TLS_ACCESS_DENIED, visit.turns)
