"""How is a granted host asked: over which connection, and what is said where that fails?

Law: https with a verified certificate for the granted name; the name is resolved once for each request and
every address is checked; no redirect, no cookie, no proxy of the environment. A connection serves one
request, so that nothing of one sandbox's exchange can reach another's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..clients.resolve import Resolver, own_addresses
from ..errors import ProgramError, RefusedError
from ..rules.addresses import is_global, is_metadata, parse_address
from ..rules.hostnames import is_ip_literal
from ..rules.services import service_places

__all__ = ["HostRequest", "Upstream", "bad_answer", "host_url", "tls_context"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
_CONNECT = 10.0  # seconds for TCP and TLS
# aiohttp would add its own where a client sends none.
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, kw_only=True)
class HostRequest:
    """One request; `host` is the grant's, for messages. Its headers hold the credential."""

    host: str
    method: str
    url: URL
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    body: AsyncIterator[bytes] | None = None


def tls_context() -> ssl.SSLContext:
    """The system's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR; TLS 1.2 and newer."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def host_url(host: str, rest: str) -> URL:
    """The URL of a path and query at a grant's host (`name` or `name:port`), as they are."""
    name, _, port = host.partition(":")
    path, _, query = rest.partition("?")
    return URL.build(
        scheme="https",
        host=name,
        port=int(port) if port else None,
        path=f"/{path}",
        query_string=query,
        encoded=True,
    )


class Upstream:
    """Asks granted hosts; an `async with` owns its connections."""

    def __init__(
        self, resolver: Resolver, internal_services: Mapping[str, str], tls: ssl.SSLContext | None = None
    ) -> None:
        self._resolver = resolver
        self._checked = _Checked(resolver, internal_services)
        self._tls: ssl.SSLContext | None = tls

    async def __aenter__(self) -> Upstream:
        if self._tls is None:
            self._tls = await asyncio.to_thread(tls_context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._resolver.close()

    def _session(self) -> aiohttp.ClientSession:
        """A session for one request, with a connection of its own.

        Not `force_close`: a host that is asked to close does so behind its last byte, and asyncio's TLS loses
        what it still holds for a reader that was paused just then (Python 3.11, seen under load).
        """
        if self._tls is None:
            raise RuntimeError("Upstream is used outside its block.")
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._checked, ssl=self._tls, use_dns_cache=False, limit=1
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
            skip_auto_headers=_NOT_ADDED,
            auto_decompress=False,
            trust_env=False,
        )

    @asynccontextmanager
    async def ask(self, wanted: HostRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        """The head of the answer; its body is read in the block.

        Raises RefusedError `secret.host_private`, ProgramError `secret.host_*`, also from within the block.
        """
        if is_ip_literal(wanted.url.host or ""):
            raise _private(wanted.host, "is an address")  # aiohttp would not ask the resolver
        try:
            async with (
                self._session() as session,
                session.request(
                    wanted.method,
                    wanted.url,
                    headers=[
                        (name.decode("latin-1"), value.decode("latin-1")) for name, value in wanted.headers
                    ],
                    data=wanted.body,
                    allow_redirects=False,
                ) as answer,
            ):
                yield answer
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            log.info("%s cannot be asked: %s", wanted.host, type(error).__name__)
            # Not `from error`: aiohttp's own text could hold parts of the request.
            raise _failure(wanted.host, error) from None


class _Checked(AbstractResolver):
    """aiohttp's way to ask for addresses: the site's own services first, then public addresses only."""

    def __init__(self, resolver: Resolver, internal_services: Mapping[str, str]) -> None:
        self._resolver = resolver
        self._services = service_places(internal_services)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Where the name may be dialled now."""
        service = self._services.get((host, port))
        places = [service] if service else [(address, port) for address in await self._public(host, port)]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=number,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address, number in places
        ]

    async def close(self) -> None:
        """Nothing is held here."""

    async def _public(self, host: str, port: int) -> tuple[str, ...]:
        addresses = await self._resolver.addresses(host, port)
        if not addresses:
            raise _unreachable(host, "it has no address in DNS")
        own = own_addresses(addresses)
        for text in addresses:
            address = parse_address(text)
            if address is None or not is_global(address) or is_metadata(address) or text in own:
                raise _private(host, f"resolves to {text}, which is not a public address")
        return addresses


def bad_answer(host: str) -> ProgramError:
    """The host speaks no HTTP that we know."""
    return ProgramError(
        f"{host} answers with something that is not HTTP.",
        code="secret.host_bad_answer",
        remedy="Ask who runs that host.",
    )


def _failure(host: str, error: Exception) -> ProgramError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return ProgramError(
            f"The certificate or TLS of {host} is not valid ({_tls_reason(error)}), so nothing was sent.",
            code="secret.host_untrusted",
            remedy="The hub's admin adds its authority to the system's, or names it by SSL_CERT_FILE.",
        )
    if isinstance(error, asyncio.TimeoutError):
        return _unreachable(host, f"no connection in {_CONNECT:g} s")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unreachable(host, error.os_error.strerror or type(error.os_error).__name__)
    if isinstance(error, aiohttp.ClientResponseError | ValueError):
        return bad_answer(host)
    return ProgramError(
        f"{host} closed the connection before its answer was whole.",
        code="secret.host_lost",
        remedy="Try again.",
    )


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    return str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "TLS fails")


def _unreachable(host: str, why: str) -> ProgramError:
    return ProgramError(
        f"{host} cannot be reached: {why}.",
        code="secret.host_unreachable",
        remedy="Try again later, or ask the hub's admin whether its grant names the right host.",
    )


def _private(host: str, why: str) -> RefusedError:
    return RefusedError(
        f"{host} {why}, so no secret is sent there.",
        code="secret.host_private",
        remedy="The hub's admin maps a host of the site's own network by internal_services of setup_hub.",
    )
