"""How does a program of ours prove over TLS who it is, and know who calls? By three files that may change.

Law: a connection is made with the files as they are when it begins; files that do not fit together, as in
the middle of a change, leave the last good ones in force. Nobody resumes a session: whoever comes is checked.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..errors import ConfigurationError, SandboxError
from ..rules.certificates import (
    PROGRAMS,
    SOON,
    Paper,
    Trouble,
    program_trouble,
    refused_by_peer,
    refused_here,
    words_of_time,
)
from .papers import FILES, Papers, read_papers

__all__ = ["TlsFiles", "peer_program"]

_LOG = logging.getLogger(__name__)
_TRIES = 5  # a try is in vain where somebody wrote while we read
_Stamp = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Loaded:
    """What the three files were when they were read, and the contexts made of them."""

    stamp: _Stamp
    papers: Papers
    servers: tuple[ssl.SSLContext, ssl.SSLContext]  # by whether clients show a certificate
    client: ssl.SSLContext


class TlsFiles:
    """`ca.pem`, `certificate.pem` and `key.pem` of one directory, as contexts for new connections.

    Raises ConfigurationError (`certificates.*`) where they cannot be used or do not hold by the clock.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.directory = Path(directory)
        self.failures = 0
        self._clock = clock or _utc
        self._refused: _Stamp = ()
        self._warned: datetime | None = None
        self._later: _Loaded | None = None  # good files that do not hold yet, or no more
        self._loaded = self._load()
        self._check_time()

    @property
    def program(self) -> str:
        """Whose certificate it is."""
        return self._current().papers.own.program

    @property
    def authorities(self) -> Sequence[Paper]:
        """Who is trusted: one, or two while they change."""
        return self._current().papers.authorities

    @property
    def expires_at(self) -> datetime:
        """When the first of these ends: the certificate, or the last authority that is trusted."""
        return self._current().papers.ends

    def server_context(self, clients: bool = True) -> ssl.SSLContext:
        """For a listener, which may keep it: each handshake takes the files as they are then.

        `clients`: whoever comes must show a certificate of ours; False for sandboxes, which have none.
        """
        return self._current().servers[clients]

    def client_context(self) -> ssl.SSLContext:
        """For one connection to another program, under the name that is dialled: ask for each anew.

        Raises ConfigurationError where our own certificate does not hold now.
        """
        current = self._current()
        self._check_time()
        return current.client

    def explain(self, error: BaseException, peer: str) -> Trouble | None:
        """Why `peer` was not reached: our own certificate, or its; None where neither was the reason."""
        if own := self._trouble(self._current()):
            return own
        if isinstance(error, ssl.SSLCertVerificationError):
            return refused_here(error.verify_code, peer, self.authorities, self._clock())
        if isinstance(error, ssl.SSLError):
            return refused_by_peer(error.reason or "", peer)
        return None

    def metrics(self) -> str:
        """When they end, for Prometheus, and how often changed files could not be used."""
        papers = self._current().papers
        ends = {"certificate": papers.own.ends, "authority": max(item.ends for item in papers.authorities)}
        lines = [
            "# TYPE sandbox_wires_certificate_end_timestamp_seconds gauge",
            *(
                f'sandbox_wires_certificate_end_timestamp_seconds{{of="{name}"}} {end.timestamp():.0f}'
                for name, end in ends.items()
            ),
            "# TYPE sandbox_wires_certificate_reload_failures_total counter",
            f"sandbox_wires_certificate_reload_failures_total {self.failures}",
        ]
        return "\n".join(lines) + "\n"

    def _check_time(self) -> None:
        if trouble := self._trouble(self._loaded):
            raise trouble.for_admin()

    def _trouble(self, loaded: _Loaded) -> Trouble | None:
        return program_trouble(loaded.papers.own, loaded.papers.authorities, self._clock())

    def _current(self) -> _Loaded:
        """The files as they are now; the last good ones where these cannot be used, or do not hold yet."""
        stamp = self._stamp()
        if stamp == self._loaded.stamp:
            self._refused, self._later = (), None
        elif stamp != self._refused:
            self._refused, self._later = stamp, None
            try:
                self._take_later(self._load())
            except SandboxError as error:
                self.failures += 1
                _LOG.warning("%s: %s The last good ones stay in use.", error.code, error)
        if self._later and (self._trouble(self._loaded) or not self._trouble(self._later)):
            self._loaded, self._later, self._refused = self._later, None, ()
            _LOG.info("Certificates in %s changed; new connections take them.", self.directory)
        self._warn_once_a_day()
        return self._loaded

    def _warn_once_a_day(self) -> None:
        ends, now = self._loaded.papers.ends, self._clock()
        if ends - now >= SOON or (self._warned and now - self._warned < timedelta(days=1)):
            return
        self._warned = now
        words = words_of_time(ends)
        _LOG.warning("Certificates in %s end on %s: certificates rotate", self.directory, words)

    def _take_later(self, loaded: _Loaded) -> None:
        now, then = self._loaded.papers.own.program, loaded.papers.own.program
        if now != then:
            raise ConfigurationError(
                f"{self.directory} has a certificate of {then} now, and this is {now}.",
                code="certificates.name",
                remedy=f"Copy the directory of {now} there.",
            )
        self._later = loaded
        if trouble := self._trouble(loaded):
            raise trouble.for_admin()

    def _load(self) -> _Loaded:
        """Read until nobody wrote meanwhile; kubelet swaps all three files at once, others do not."""
        for attempt in range(_TRIES):
            stamp = self._stamp()
            try:
                loaded = self._contexts(stamp)
            except (SandboxError, ssl.SSLError, OSError) as error:
                if self._stamp() == stamp or attempt == _TRIES - 1:
                    raise _as_ours(error, self.directory) from error
            else:
                if self._stamp() == stamp:
                    return loaded
        raise _as_ours(OSError(0, "it changes all the time"), self.directory)

    def _contexts(self, stamp: _Stamp) -> _Loaded:
        papers = read_papers(self.directory)
        open_server, closed_server = (self._server(clients) for clients in (False, True))
        client = self._prepared(ssl.PROTOCOL_TLS_CLIENT)
        return _Loaded(stamp, papers, (open_server, closed_server), client)

    def _server(self, clients: bool) -> ssl.SSLContext:
        context = self._prepared(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_NONE
        # A resumed session would show no certificate again, and its authority may be gone meanwhile.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = self._current().servers[clients]

        context.sni_callback = choose
        return context

    def _prepared(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        authorities, certificate, key = (str(self.directory / name) for name in FILES)
        context.load_verify_locations(authorities)
        context.load_cert_chain(certificate, key)
        return context

    def _stamp(self) -> _Stamp:
        return tuple(_stamp_of(self.directory / name) for name in FILES)


def peer_program(connection: ssl.SSLObject | ssl.SSLSocket) -> str:
    """Which program showed the certificate that was verified? Raises ConfigurationError."""
    shown = connection.getpeercert() or {}
    subject: Sequence[Sequence[tuple[str, str]]] = shown.get("subject", ())  # type: ignore[assignment]
    names = [value for part in subject for field, value in part if field == "commonName"]
    if len(names) == 1 and names[0] in PROGRAMS:
        return names[0]
    raise ConfigurationError(
        f"A certificate was shown that is no program's of ours: {', '.join(names)[:80]!r}.",
        code="certificates.name",
        remedy=f"Its subject has to be one of {', '.join(PROGRAMS)}.",
        status=403,
    )


def _stamp_of(path: Path) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def _as_ours(error: Exception, directory: Path) -> SandboxError:
    if isinstance(error, SandboxError):
        return error
    return ConfigurationError(
        f"The certificates in {directory} cannot be used: {error}.",
        code="certificates.unreadable",
        remedy="Copy the whole directory again.",
    )


def _utc() -> datetime:
    return datetime.now(timezone.utc)
