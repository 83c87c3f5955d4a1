"""Which certificates do our programs trust one another by, and what is said when one of them does not hold?

Law: the subject of a certificate is one program, its names are where that program is reached, and it is
signed by the site's own authority. Of two authorities that overlap the newer one signs, and a bridge (its
name and key, signed by the older one) is shown along, so that who knows only the older one trusts it, too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import ConfigurationError, UnreachableError

__all__ = [
    "AUTHORITY_LIFE",
    "BACKDATED",
    "CERTIFICATE_LIFE",
    "PROGRAMS",
    "SOON",
    "Paper",
    "Trouble",
    "check_host",
    "hosts_of",
    "is_due",
    "program_trouble",
    "refused_by_peer",
    "refused_here",
    "time_trouble",
    "words_of_time",
]

PROGRAMS = ("hub", "launcher", "gateway", "control", "broker", "tracking")
AUTHORITY_LIFE = timedelta(days=1826)
CERTIFICATE_LIFE = timedelta(days=397)
BACKDATED = timedelta(hours=1)  # clocks that are behind by less do not matter
SOON = timedelta(days=30)  # an admin is told so long before an end
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What OpenSSL's check of a chain says. ref: openssl/x509_vfy.h
_NOT_YET, _EXPIRED = 9, 10
_NAMES = (62, 64)
_UNKNOWN = (2, 18, 19, 20, 21)
# What the other side says of our certificate; one that is not yet valid is "bad". ref: RFC 8446, 6.2
_ALERTS = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "that it has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "that it is bad, or not yet valid by the clock there",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "that it cannot be accepted",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "that it is of a kind for something else",
    "TLSV1_ALERT_UNKNOWN_CA": "that its authority is unknown there",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "that none was shown",
    "TLSV1_ALERT_ACCESS_DENIED": "that this program may not call there",
}
_ROTATE = (
    "Make new ones with: jupyter-sandbox-admin certificates rotate; on a cluster apply certificates manifest"
    " after that. Programs take them without a restart."
)
_CLOCKS = "Compare the clocks of both machines (timedatectl) and let chrony or systemd-timesyncd keep them."
_KEPT = "Your files are kept, and nothing is wrong with your server. Tell your admin."


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A certificate, as far as it is judged: whose it is (`gateway`; "" an authority) and its two ends."""

    program: str
    begins: datetime
    ends: datetime

    @property
    def called(self) -> str:
        """Its name in a sentence."""
        return f"certificate of {self.program}" if self.program else "site's authority"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What keeps two programs apart: a sentence for admins with its remedy, and another for users."""

    code: str
    admin: str
    remedy: str
    user: str

    def for_admin(self) -> ConfigurationError:
        """The error that a command or the start of a program ends with."""
        return ConfigurationError(self.admin, code=self.code, remedy=self.remedy)

    def for_user(self) -> UnreachableError:
        """The error that reaches whoever waits for a server."""
        return UnreachableError(self.user, code=self.code, remedy=_KEPT)


def time_trouble(papers: Iterable[Paper], now: datetime) -> Trouble | None:
    """The first of these that does not hold now, and why."""
    for paper in papers:
        if now < paper.begins:
            return _too_early(
                f"The {paper.called} is valid from {words_of_time(paper.begins)} on, and the clock here says"
                f" {words_of_time(now)}."
            )
        if now >= paper.ends and paper.program:
            return _expired(f"The {paper.called} ended on {words_of_time(paper.ends)}.")
        if now >= paper.ends:
            return _authority_expired(f"The {paper.called} ended on {words_of_time(paper.ends)}.")
    return None


def program_trouble(own: Paper, authorities: Sequence[Paper], now: datetime) -> Trouble | None:
    """Why does a program with these papers trust nobody, or is trusted by nobody? One authority is enough."""
    last = max(authorities, key=lambda paper: paper.ends)
    one_holds = any(time_trouble([paper], now) is None for paper in authorities)
    return time_trouble([own] if one_holds else [last, own], now)


def refused_here(verify_code: int, peer: str, authorities: Sequence[Paper], now: datetime) -> Trouble:
    """Why was a certificate of `peer` not accepted here? `verify_code` is OpenSSL's."""
    if verify_code == _NOT_YET:
        return _too_early(
            f"The certificate of {peer} is not yet valid by the clock here, which says {words_of_time(now)}."
        )
    if verify_code == _EXPIRED and all(now >= paper.ends for paper in authorities):
        return _authority_expired("Every authority in ca.pem has ended.")
    if verify_code == _EXPIRED:
        return _expired(
            f"The certificate of {peer}, or its authority, has ended by the clock here, which says"
            f" {words_of_time(now)}."
        )
    if verify_code in _NAMES:
        return Trouble(
            code="certificates.name",
            admin=f"What answers for {peer} shows a certificate without the name that was dialled.",
            remedy="Give it with: jupyter-sandbox-admin certificates make --host PROGRAM=NAME; or correct the"
            " site's wires.hosts.",
            user=f"The site's program {peer} is not where it should be, so nothing is sent to it.",
        )
    unproved = f"The site's program {peer} could not prove that it is of this site; nothing is sent to it."
    if verify_code in _UNKNOWN:
        return Trouble(
            code="certificates.foreign",
            admin=f"The certificate of {peer} is of an authority that ca.pem here does not hold.",
            remedy="All programs need certificates of one authority: jupyter-sandbox-admin certificates show",
            user=unproved,
        )
    return Trouble(
        code="certificates.refused",
        admin=f"The certificate of {peer} is not accepted here (OpenSSL's reason {verify_code}).",
        remedy="See what there is: jupyter-sandbox-admin certificates show",
        user=unproved,
    )


def refused_by_peer(reason: str, peer: str) -> Trouble | None:
    """Why did `peer` not accept the certificate from here? None where `reason` is about something else."""
    if reason not in _ALERTS:
        return None
    return Trouble(
        code="certificates.refused",
        admin=f"{peer} does not accept this program's certificate; it says {_ALERTS[reason]}.",
        remedy="Its log has the reason; see the certificates here: jupyter-sandbox-admin certificates show",
        user=f"The site's program {peer} does not accept the program that called it.",
    )


def _expired(admin: str) -> Trouble:
    return Trouble(
        code="certificates.expired",
        admin=admin,
        remedy=_ROTATE,
        user="The site's programs cannot reach one another, because a certificate of theirs has expired.",
    )


def _authority_expired(admin: str) -> Trouble:
    return Trouble(
        code="certificates.authority_expired",
        admin=admin,
        remedy="Nothing can be handed over any more: make all anew with jupyter-sandbox-admin certificates"
        " make in another directory, and start the sandboxes again.",
        user="The site's programs cannot reach one another, because the authority of their certificates has"
        " expired.",
    )


def _too_early(admin: str) -> Trouble:
    return Trouble(
        code="certificates.clock",
        admin=f"{admin} One of the two machines has a wrong clock.",
        remedy=_CLOCKS,
        user="The site's programs cannot reach one another, because the clocks of its machines differ.",
    )


def is_due(paper: Paper, now: datetime) -> bool:
    """Is it time for a new one: is a third of its life left, or less?"""
    return now >= paper.begins + (paper.ends - paper.begins) * 2 / 3


def words_of_time(moment: datetime) -> str:
    """A moment of UTC for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def hosts_of(program: str, namespace: str, further: Sequence[str]) -> tuple[str, ...]:
    """The names of a program's certificate: its service's on a cluster, and what the admin gives."""
    service = f"{program}.{namespace}.svc"
    return tuple(
        dict.fromkeys((program, f"{program}.{namespace}", service, f"{service}.cluster.local", *further))
    )


def check_host(host: str, field: str) -> str:
    """A DNS name in lower case or an IP address, no wildcard. Raises ConfigurationError."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        labels = host.split(".")
    if len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit():
        return host
    raise ConfigurationError(
        f"{field}: {host[:80]!r} is neither a host name in lower case nor an IP address.",
        code="certificates.host",
        field=field,
        remedy="Write it as others dial it, such as gateway.jupyter-sandbox.svc.",
    )
