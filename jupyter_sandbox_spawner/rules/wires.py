"""What does a head ask of the wires, and may its sender? Programs by certificate, sandboxes by key.

Law: a sandbox is known by its key together with the address of its pod, and each is worth nothing without
the other. What is compared with a secret is a digest, in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import h11

from ..errors import RefusedError, UnreachableError
from ..names import is_sandbox_id

__all__ = [
    "BODY_LIMIT",
    "FRAMES",
    "HEAD_LIMIT",
    "Head",
    "PodRecord",
    "Shown",
    "check_program",
    "digest",
    "is_digest",
    "judge_key",
    "judge_ticket",
    "parse_head",
    "plain_address",
    "target_of",
    "unknown",
]

HEAD_LIMIT = 8 << 10  # bytes
BODY_LIMIT = 1 << 10
FRAMES = b"sandbox-frames"  # a header of ours
_TARGET = re.compile(r"([a-z]+(?:-[a-z]+)?)\.sandbox:443")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOBODY = "0" * 64  # no digest of anything known


@dataclass(frozen=True)
class Shown:
    """The credentials of a head: a sandbox's id and its ticket or key."""

    sandbox: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Head:
    """A request's first lines; `length` is how many bytes of a body follow.

    `framed`: its sender wants to use the connection again, so that what is carried comes in frames.
    """

    method: str
    target: str
    shown: Shown | None = None
    length: int = 0
    framed: bool = False


@dataclass(frozen=True, kw_only=True)
class PodRecord:
    """One pod as the gateway's wires keep it; no secret is in it, only digests (SHA-256, hexadecimal).

    `address` is "" until its pod has one; `key_sha256` is "" until the ticket was used, which happens once.
    A suspended one is let in no more until that is undone.
    """

    ticket_sha256: str
    address: str = ""
    key_sha256: str = ""
    suspended: bool = False


def digest(secret: str) -> str:
    """What is kept of a ticket or a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_digest(text: str) -> bool:
    """Could this be a digest as `digest` makes it?"""
    return _DIGEST.fullmatch(text) is not None


def parse_head(raw: bytes) -> Head:
    """Read a head up to its empty line. Raises RefusedError `wires.bad_head` for all that is ambiguous."""
    # What h11 forgives: lines that end without CR, and those that go on in the next one.
    if set(b"\r\n") & set(raw.replace(b"\r\n", b"")) or b"\r\n " in raw or b"\r\n\t" in raw:
        raise _bad("its lines are ambiguous")
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
    try:
        connection.receive_data(raw)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise _bad(str(error)) from None
    if not isinstance(event, h11.Request):
        raise _bad("it is no request")
    headers: dict[bytes, bytes] = {}
    for name, value in event.headers:
        if name in headers or name == b"transfer-encoding":
            raise _bad("a header comes twice, or the body has no length")
        headers[name] = value
    length = int(headers.get(b"content-length", b"0"))
    if length > BODY_LIMIT:
        raise RefusedError(f"A body of {length} bytes is too large.", code="wires.bad_head", status=413)
    method = event.method.decode("ascii")
    name = b"proxy-authorization" if method == "CONNECT" else b"authorization"
    framed = headers.get(FRAMES) == b"1"
    return Head(method, event.target.decode("latin-1"), _shown(headers.get(name)), length, framed)


def target_of(target: str) -> str:
    """The door or socket that `NAME.sandbox:443` names. Raises RefusedError `wires.unknown`."""
    found = _TARGET.fullmatch(target)
    if found is None:
        raise unknown(target)
    return found[1]


def unknown(target: str) -> RefusedError:
    """The refusal of what is not there."""
    return RefusedError(
        f"There is no {target[:60]!r} here.",
        code="wires.unknown",
        remedy="Ask for NAME.sandbox:443 of a socket that this program has.",
        status=404,
    )


def check_program(caller: str, socket: str, callers: Collection[str]) -> None:
    """Refuse a program, known by its certificate, that has no business with this socket."""
    if caller not in callers:
        raise RefusedError(
            f"The program {caller!r} may not use the socket {socket!r}.",
            code="wires.not_allowed",
            remedy=f"It serves {', '.join(sorted(callers)) or 'nobody'} on other machines.",
        )


def judge_ticket(record: PodRecord | None, shown: Shown | None, key_sha256: str, address: str) -> PodRecord:
    """The record once this ticket has bought this key; the same one where it had bought it before.

    The same ticket with the same key again is a repetition whose first answer was lost. Raises RefusedError
    `pods.*`, or UnreachableError `pods.address_unknown` where the pod is to ask again.
    """
    if not is_digest(key_sha256):
        raise _bad("it lacks the digest of a key")
    kept = record.ticket_sha256 if record is not None else _NOBODY
    if not _same(shown, kept) or record is None:
        raise _stranger("ticket", 401)
    _check_place(record, address)
    if record.key_sha256 and not hmac.compare_digest(record.key_sha256, key_sha256):
        raise RefusedError(
            "The ticket was used before.",
            code="pods.ticket_used",
            remedy="A start has one ticket: start the server again. If its pod runs, somebody copied it.",
        )
    return replace(record, key_sha256=key_sha256)


def judge_key(record: PodRecord | None, shown: Shown | None, address: str) -> None:
    """Refuse whoever is not the sandbox of this record, at its own address."""
    kept = record.key_sha256 if record is not None else ""
    if not _same(shown, kept or _NOBODY) or record is None:
        raise _stranger("key", 407)
    _check_place(record, address)


def plain_address(text: str) -> str:
    """One spelling of an IP address, of an IPv4 one mapped into IPv6 too. ValueError for what is none."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def _same(shown: Shown | None, kept: str) -> bool:
    return hmac.compare_digest(digest(shown.secret) if shown is not None else "", kept)


def _check_place(record: PodRecord, address: str) -> None:
    if not record.address:
        raise UnreachableError(
            "The address of this pod is not known yet.", code="pods.address_unknown", remedy="Ask again."
        )
    if record.address != address:
        raise RefusedError(
            f"{address} is not the address of this pod.",
            code="pods.address_foreign",
            remedy="A ticket or key was used from somewhere else: look who is there.",
        )
    if record.suspended:
        raise UnreachableError(
            "The doors of this pod are closed for now.", code="pods.suspended", remedy="Ask again."
        )


def _stranger(what: str, status: int) -> RefusedError:
    return RefusedError(
        f"The {what} is not one of a sandbox that is open here.",
        code="pods.stranger",
        remedy="If its server should run, start it again.",
        status=status,
    )


def _shown(value: bytes | None) -> Shown | None:
    scheme, _, encoded = (value or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        sandbox, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Shown(sandbox, secret) if colon and secret and is_sandbox_id(sandbox) else None


def _bad(why: str) -> RefusedError:
    return RefusedError(
        f"The head of a request cannot be read: {why[:120]}.",
        code="wires.bad_head",
        remedy="Only the wires of this version talk here.",
        status=400,
    )
