"""What may this sandbox reach, and how is a host asked for that it may not? Asked of control."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .door import PATIENCE, ask, read_answer
from .egress_answers import AccessRequest, Denial, Egress, Requested
from .secret_list import instant

__all__ = ["LONGEST_WHY", "ask_for_access", "egress", "place", "withdraw"]

LONGEST_WHY = 500  # characters
_PORTS = {"https": 443, "http": 80}
_LONGEST_HOST = 253
_Document = Mapping[str, Any]
_Answer = TypeVar("_Answer")


def egress(timeout: float = PATIENCE) -> Egress:
    """What may be reached, what was refused, and what was asked for. Raises SandboxError."""
    return read_answer(_egress, ask("/egress", timeout=timeout))


def ask_for_access(host: str, why: str, port: int | None = None) -> Requested:
    """Ask the admins to open `host` (also `host:port` or an address with https://) for a while.

    `why`: a sentence that they read. The same place asked for again gives the request that waits. Raises
    RefusedError with the reason, ConfigurationError for what is no place or no reason.
    """
    name, found = place(host)
    reason = why.strip()
    if not 0 < len(reason) <= LONGEST_WHY:
        raise ConfigurationError(
            f"why: a sentence of 1 to {LONGEST_WHY} characters is needed.",
            code="wire.invalid",
            field="why",
            remedy='Write: %sandbox egress ask HOST --why "what for"',
        )
    wish = {"host": name, "port": port or found, "why": reason}
    return Requested(request=read_answer(_request, ask("/egress/ask", wish)))


def withdraw(request: int) -> Requested:
    """Take back a request that waits. Raises RefusedError."""
    return Requested(request=read_answer(_request, ask("/egress/withdraw", {"id": request})))


def place(text: str) -> tuple[str, int]:
    """Host and port of `host`, `host:port` or an address; https where it does not say. Whether it is a name
    that can be asked for says control. Raises ConfigurationError."""
    written = text.strip()
    scheme, mark, rest = written.partition("://")
    port = _PORTS.get(scheme.lower(), 0) if mark else 443
    address = urlsplit(f"//{rest if mark else written}").netloc.rpartition("@")[2]
    found = re.fullmatch(r"([^:\s]+)(?::([0-9]{1,5}))?", address)
    host, number = (found[1], int(found[2]) if found[2] else port) if found else ("", 0)
    if not 0 < len(host) <= _LONGEST_HOST or not 1 <= number <= 65535:
        raise ConfigurationError(
            f"host: {text[:80]!r} is not a host, with or without a port.",
            code="wire.invalid",
            field="host",
            remedy="Write example.org or example.org:443.",
        )
    return host, number


def _egress(document: _Document) -> Egress:
    return Egress(
        allowed=tuple(map(str, document["allowed"])),
        denied=tuple(map(_denial, document["denied"])),
        requests=tuple(map(_request, document.get("requests") or ())),
    )


def _denial(item: _Document) -> Denial:
    return Denial(
        host=str(item["host"]),
        port=int(item["port"]),
        code=str(item["code"]),
        rule=str(item["rule"] or ""),
        count=int(item["count"]),
        first_at=_time(item["first_at"]),
        last_at=_time(item["last_at"]),
    )


def _request(item: _Document) -> AccessRequest:
    return AccessRequest(
        id=int(item["id"]),
        host=str(item["host"]),
        port=int(item["port"]),
        why=str(item["why"]),
        status=str(item["status"]),
        asked_at=_time(item["asked_at"]),
        decided_at=instant(item.get("decided_at")),
        answer=str(item.get("answer") or ""),
        scope=None if item.get("scope") is None else str(item["scope"]),
        until=instant(item.get("until")),
        here=item.get("here") is not False,
    )


def _time(text: str) -> Any:
    return instant(str(text))
