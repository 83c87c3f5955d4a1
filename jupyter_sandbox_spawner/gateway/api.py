"""How does the API door carry the calls that a server needs to hub, control and broker, and refuse the rest?

Law: bodies and answers are small, whole and bounded, but those of a request sent with a secret are streamed;
redirects are not followed; cookies do not pass. Which sandbox asks is said by the door, never by the request.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from datetime import datetime, timezone

from ..rules import activity_report, api_filter
from ..rules.api_filter import ANSWER_HEADERS, REQUEST_HEADERS, ApiCall
from ..rules.proxied import PathFault, ProxiedCall, proxied_call, secrets_path
from ..rules.proxied_heads import framing, to_broker
from .answers import Refusal
from .asking import AnswerTooLargeError, AskedProgram, Question, UnansweredError
from .carriage import Carriage, CarriageTimes, Carried, Peer
from .requests import Answer, Carry, Limits, Request, serve_requests
from .sandbox import OpenSandbox
from .stream import Stream

__all__ = ["ApiDoor"]

log = logging.getLogger("jupyter_sandbox_spawner.gateway")

# The largest bodies are an activity report and an OAuth form; both are below 2 KiB.
_LIMITS = Limits(bad_request="api.bad_request", too_slow="api.too_slow", body=64 << 10)
_AWAY = {
    "hub": ("api.hub_away", "The hub"),
    "control": ("api.control_away", "Control"),
    "broker": ("api.broker_away", "The broker of secrets"),
}


class ApiDoor:
    """Serves the API doors of all sandboxes."""

    def __init__(
        self, hub: tuple[str, int], control_socket: str, broker_socket: str, base_url: str = "/"
    ) -> None:
        """`hub` is its host and port."""
        self._secrets = secrets_path(base_url)
        self._asked = {
            "hub": AskedProgram(host=hub[0], port=hub[1]),
            "control": AskedProgram(path=control_socket, held=True),
            "broker": AskedProgram(path=broker_socket, held=True),
        }

    async def handle(self, connection: socket.socket, sandbox: OpenSandbox) -> None:
        """Serve one connection until it ends; its requests are all this sandbox's."""
        stream = Stream()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, connection)
        await serve_requests(stream, _LIMITS, lambda request: self._answer(request, sandbox))

    async def _answer(self, request: Request, sandbox: OpenSandbox) -> Answer | Refusal | Carry:
        if not sandbox.api_may_ask():
            sandbox.deny("api.denied", {"code": "api.too_many"})
            return Refusal(429, "api.too_many", "Blocked by sandbox: too many calls of the hub's API", True)
        proxied = proxied_call(self._secrets, request.method, request.target)
        if proxied is not None:
            return await self._proxied(proxied, request, sandbox)
        call = api_filter.decide(sandbox.api_calls, request.method, request.target)
        if call is None:
            sandbox.deny("api.denied", {"code": "api.not_allowed", "host": _shown(request)})
            sentence = "Blocked by sandbox: this call of the hub's API is not open to a sandbox"
            return Refusal(403, "api.not_allowed", sentence, True)
        body = await request.body()
        if body is None:
            return Refusal(413, "api.too_large", f"At most {_LIMITS.body} bytes are taken here", True)
        if call.to == "gateway":
            reply = activity_report.reply_to(body, sandbox.user, sandbox.server, datetime.now(timezone.utc))
            return Answer(reply.status, [(b"content-type", b"application/json")], reply.body)
        return await self._ask(call, _passed(request.headers, REQUEST_HEADERS), body, sandbox)

    async def _proxied(
        self, call: ProxiedCall | PathFault, request: Request, sandbox: OpenSandbox
    ) -> Refusal | Carry:
        if isinstance(call, PathFault):
            sandbox.deny("api.denied", {"code": "secret.path_invalid", "host": _shown(request)})
            return Refusal(400, "secret.path_invalid", call.sentence, True)
        if (refusal := sandbox.egress_refusal()) is not None:
            return refusal
        try:
            program = await self._asked["broker"].connect()
        except UnansweredError as error:
            return _away(sandbox, "broker", error)
        headers = [
            (b"host", b"localhost"),
            (b"connection", b"close"),
            (b"x-sandbox-id", sandbox.id.encode()),
            *framing(request.headers),
            *to_broker(request.headers),
        ]
        carried = Carried(
            method=request.method,
            target=call.target.encode(),
            headers=headers,
            count=sandbox.egress_bytes,
            spent=sandbox.egress_refusal,
        )
        return lambda peer, stream: Carriage(Peer(peer, stream), program, carried, CarriageTimes()).run()

    async def _ask(
        self, call: ApiCall, headers: list[tuple[bytes, bytes]], body: bytes, sandbox: OpenSandbox
    ) -> Answer | Refusal:
        if call.to != "hub":
            headers = [*headers, (b"x-sandbox-id", sandbox.id.encode())]
        question = Question(
            method=call.method, target=call.target, headers=headers, body=body, seconds=call.seconds
        )
        try:
            answer = await self._asked[call.to].ask(question)
        except UnansweredError as error:
            return _away(sandbox, call.to, error)
        except AnswerTooLargeError:
            return Refusal(502, "api.answer_too_large", f"{_AWAY[call.to][1]} answers too much", True)
        return Answer(answer.status, _passed(answer.headers, ANSWER_HEADERS), answer.body)


def _away(sandbox: OpenSandbox, to: str, error: UnansweredError) -> Refusal:
    log.warning("%s: the %s does not answer a sandbox's call: %s", sandbox.id, to, error)
    code, name = _AWAY[to]
    sentence = f"{name} does not answer; it may be restarting. Try again in a moment"
    return Refusal(503, code, sentence, True)


def _passed(headers: Sequence[tuple[bytes, bytes]], names: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name in names]


def _shown(request: Request) -> str:
    # Hostile text: shortened here, escaped by whoever shows it.
    return (
        f"{request.method.decode('ascii', 'replace')[:16]} {request.target.decode('ascii', 'replace')[:120]}"
    )
