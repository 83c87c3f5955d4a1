"""Where do browsers come in? One TCP listener; each request finds its server by the prefix of its path.

Law: a connection belongs to the proxy, not to a user: every request on it is routed anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import h11

from ..rules import heads
from .answers import Refusal, refusal_bytes
from .exchange import HEAD_LIMIT, AnswerTimes, Exchange
from .routing import RouteTable
from .sandbox import OpenSandbox
from .stream import Stream, StreamLostError, next_event

__all__ = ["Front"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

_REQUEST_TIME = 60.0  # seconds for a head to arrive
_IDLE_TIME = 600.0  # seconds the proxy may keep a connection that carries nothing


class Front:
    """The listener and its connections; `async with` closes both."""

    def __init__(self, routes: RouteTable, times: AnswerTimes | None = None) -> None:
        self._routes = routes
        self._times = times or AnswerTimes()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound TCP socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Stream(self._accepted), sock=listener, backlog=1024)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, client: Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Stream) -> None:
        peer = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        try:
            while await self._one_request(peer, client):
                peer.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self._refuse(peer, client, Refusal(error.error_status_hint, "front.bad_request", "Not HTTP"))
        except (StreamLostError, TimeoutError):
            log.debug("A connection of the front ended early.")
        except Exception:
            log.exception("A connection of the front failed.")
        finally:
            await client.finish(5.0)

    async def _one_request(self, peer: h11.Connection, client: Stream) -> bool:
        clock = asyncio.get_running_loop().time
        if not peer.trailing_data[0]:
            peer.receive_data(await client.read(_IDLE_TIME))
        request = await next_event(peer, client, clock() + _REQUEST_TIME)
        if not isinstance(request, h11.Request):
            return False
        if fault := heads.fault(request.headers):
            refusal = Refusal(400, "front.bad_request", fault)
            return self._refuse(peer, client, refusal, request.method)
        sandbox = self._routes.find(request.target)
        if sandbox is None:
            refusal = Refusal(404, "front.unknown", "No server runs at this address")
            return self._refuse(peer, client, refusal, request.method)
        limit = sandbox.entry.limits.front_requests
        if sandbox.front_running >= limit:
            sandbox.deny("front.denied", {"code": "front.capped"})
            refusal = Refusal(503, "front.capped", f"More than {limit} requests to this server at once")
            return self._refuse(peer, client, refusal, request.method)
        if barred := sandbox.page_refusal(request.method, request.target):
            sandbox.deny("front.denied", {"code": barred.code, "path": _shown(request.target)})
            return self._refuse(peer, client, barred, request.method)
        return await self._carry(peer, client, request, sandbox)

    async def _carry(
        self, peer: h11.Connection, client: Stream, request: h11.Request, sandbox: OpenSandbox
    ) -> bool:
        sandbox.front_running += 1
        sandbox.leaving.began()
        withdraw = sandbox.on_close(client.abort)
        exchange: Exchange | None = None
        try:
            ingress = (
                None if sandbox.leaving.why else sandbox.ingress.take() or await self._hold(client, sandbox)
            )
            if ingress is None:
                return self._refuse(peer, client, _absent(sandbox), request.method)
            exchange = Exchange(peer, client, ingress, sandbox, self._times)
            return await exchange.run(request)
        finally:
            withdraw()
            if exchange is None or not exchange.upgraded:
                sandbox.leaving.ended()
            sandbox.front_running -= 1

    async def _hold(self, client: Stream, sandbox: OpenSandbox) -> Stream | None:
        waiting = asyncio.ensure_future(sandbox.ingress.acquire())
        client.on_gone = lambda: _cancel(waiting)
        if client.ended:
            waiting.cancel()
        try:
            return await waiting
        except asyncio.CancelledError:
            if client.ended:
                raise StreamLostError("The browser left while it waited.") from None
            raise
        finally:
            client.on_gone = None
            waiting.cancel()

    def _refuse(self, peer: h11.Connection, client: Stream, refusal: Refusal, method: bytes = b"GET") -> bool:
        with contextlib.suppress(StreamLostError):  # nobody is left to be told
            if answer := refusal_bytes(peer, refusal, method):
                client.write(answer)
        return False


def _shown(target: bytes) -> str:
    """The path for the audit; a query may carry a token."""
    return target.partition(b"?")[0].decode("ascii", "replace")[:200]


def _cancel(waiting: asyncio.Future[Stream | None]) -> None:
    waiting.cancel()


def _absent(sandbox: OpenSandbox) -> Refusal:
    if sandbox.leaving.why:
        return Refusal(503, "front.draining", sandbox.leaving.why)
    if not sandbox.ingress.was_ready:
        return Refusal(503, "front.not_ready", "This server is still starting. Try again in a moment")
    return Refusal(503, "front.gone", "This server does not answer: it ended or its network helper restarts")
