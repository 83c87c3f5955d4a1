"""How is a sandbox's request sent to a host with a secret that the sandbox never sees?

Law: control allows it first; the value is read for this one request and leaves in one header, to the host of
the grant; an answer goes back without it. Both bodies are streamed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from ..errors import ConfigurationError, RefusedError, SandboxError
from ..names import is_sandbox_id
from ..rules.credential_header import Sent, sent_credential
from ..rules.grants import Grant
from ..rules.identity import SANDBOX_HEADER, shown_token
from ..rules.index_links import IndexLinks
from ..rules.proxied import PathFault, ProxiedCall, proxied_call, proxied_prefix
from ..rules.proxied_heads import framing, to_host
from ..rules.scrub import Scrubber
from ..secret_names import check_name
from .exchanges import Exchange, Exchanges
from .permits import Permits
from .proxy_answers import answer_head, has_body, index_links, refusal
from .upstream import HostRequest, Upstream, host_url

__all__ = ["SecretsProxy"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")


class SecretsProxy:
    """The routes below `secrets/NAME/proxy/`. They come before those of SecretsApi, which end in a verb."""

    def __init__(self, permits: Permits, exchanges: Exchanges, upstream: Upstream, base_url: str) -> None:
        self._permits = permits
        self._exchanges = exchanges
        self._upstream = upstream
        self._base_url = base_url

    def add_to(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_route("*", "/api/secrets/{name:.+?}/proxy/{rest:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except SandboxError as error:
            log.info("A request with a secret is refused: %s", error.code)
            return refusal(request, error)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        sandbox = request.headers.get(SANDBOX_HEADER, "")
        if not is_sandbox_id(sandbox):
            raise RefusedError(
                f"There is no running sandbox {sandbox[:40]!r}.", code="sandbox.unknown", status=404
            )
        call = _call(request)
        token = shown_token(request.headers, basic=True)
        allowed, secret = await self._permits.secret(sandbox, token, call.name)
        sent = sent_credential(allowed.grant, secret.fields)
        with self._exchanges.running(sandbox, request, allowed.grant.host) as exchange:
            carrying = _Carrying(request, exchange, call, allowed.grant, sent)
            prefix = proxied_prefix(self._base_url, call.name)
            exchange.task = asyncio.create_task(carrying.run(self._upstream, prefix))
            return await carrying.outcome(exchange.task)


def _call(request: web.Request) -> ProxiedCall:
    found = proxied_call("/api/secrets/", request.method.encode(), request.raw_path.encode("latin-1"))
    if found is None:
        # The gateway lets nothing else come this far.
        check_name(request.match_info["name"].upper())
        raise RefusedError(f"{request.method} is not passed on.", code="secret.path_invalid", status=405)
    if isinstance(found, PathFault):
        raise ConfigurationError(f"{found.sentence}.", code="secret.path_invalid", field="path")
    return found


class _Carrying:
    """One request on its way. Once its answer has begun, an end can only be shown by cutting it off."""

    def __init__(
        self, request: web.Request, exchange: Exchange, call: ProxiedCall, grant: Grant, sent: Sent
    ) -> None:
        self._request = request
        self._exchange = exchange
        self._call = call
        self._grant = grant
        self._sent = sent
        self._begun: web.StreamResponse | None = None

    async def outcome(self, task: asyncio.Task[web.StreamResponse]) -> web.StreamResponse:
        """The answer. Raises SandboxError where none was begun."""
        try:
            return await task
        except SandboxError as error:
            return self._cut(error)
        except asyncio.CancelledError:
            if self._exchange.error is None:
                raise  # the broker stops
            return self._cut(self._exchange.error)
        finally:
            task.cancel()

    def _cut(self, error: SandboxError) -> web.StreamResponse:
        if self._begun is None:
            raise error
        log.info("%s: the answer of %s is cut off: %s", self._exchange.sandbox, self._grant.host, error.code)
        if self._request.transport is not None:
            self._request.transport.abort()
        return self._begun

    async def run(self, upstream: Upstream, prefix: str) -> web.StreamResponse:
        """Ask the host and pass its answer on."""
        async with upstream.ask(self._wanted()) as answer:
            scrubber = Scrubber(self._sent.hidden)
            self._exchange.touch()
            head = answer_head(answer, self._grant, prefix, scrubber)
            links = index_links(answer, self._grant, prefix)
            if links is None and answer.content_length is not None:
                head.content_length = answer.content_length
            elif has_body(answer):
                head.enable_chunked_encoding()
            # From here on a second head would stand in the middle of a body.
            self._begun = head
            await head.prepare(self._request)
            if has_body(answer):
                await self._body(answer, head, [scrubber, links] if links else [scrubber])
            await head.write_eof()
            if scrubber.found:
                log.warning(
                    "%s sends the value of %s back: it was taken out of the answer to %s",
                    *(self._grant.host, self._grant.name, self._exchange.sandbox),
                )
            return head

    async def _body(
        self, answer: aiohttp.ClientResponse, head: web.StreamResponse, through: list[Scrubber | IndexLinks]
    ) -> None:
        async for chunk in answer.content.iter_any():
            self._exchange.touch()
            passed = chunk
            for step in through:
                passed = step.feed(passed)
            if passed:
                await head.write(passed)
                self._exchange.touch()
        end = b""
        for step in through:
            end = step.feed(end) + step.rest()
        if end:
            await head.write(end)

    def _wanted(self) -> HostRequest:
        headers = [(name.lower(), value) for name, value in self._request.raw_headers]
        wanted = to_host(headers, (self._sent.name, self._sent.value))
        length = [item for item in framing(headers) if item[0] == b"content-length"]
        return HostRequest(
            host=self._grant.host,
            method=self._request.method,
            url=host_url(self._grant.host, self._call.rest.decode("ascii")),
            headers=[*wanted, *length] if self._request.body_exists else wanted,
            body=self._upload() if self._request.body_exists else None,
        )

    async def _upload(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.content.iter_any():
            yield chunk
            self._exchange.touch()
