"""What does the broker say about this server's secrets, without a value? And how is one renewed or ended?

Law: names are remembered for a minute at most, for while the broker is away; values never.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ..errors import AnswerError, UnreachableError
from ..secret_names import check_name
from .door import ask, door
from .secret_answers import Ended, GrantedSecret, Renewed, SecretList, SecretStatus, Store

__all__ = [
    "PATIENCE",
    "ask_now",
    "instant",
    "listing",
    "proxy_url",
    "renew",
    "revoke",
    "status",
    "unreadable",
]

PATIENCE = 13.0  # seconds; the door waits up to 12 for the broker, which asks hub and control
_REMEMBERED = 60.0  # seconds


def listing() -> SecretList:
    """The list. Raises SandboxError, unless the broker is away and was there in the last minute."""
    try:
        found = ask_now(PATIENCE)
    except UnreachableError as error:
        known = _memory.recall()
        if known is None:
            raise
        return replace(known, note=f"{error.message} These are the names of a moment ago.")
    _memory.keep(found)
    return found


def ask_now(patience: float) -> SecretList:
    """The list as the broker says it now. Raises SandboxError."""
    return _listed(ask(timeout=patience, of="secrets"))


def status() -> SecretStatus:
    """The store's health, and what this server holds. Raises SandboxError."""
    found = listing()
    return SecretStatus(
        profile=found.profile,
        store=replace(found.store, ok=False, message=found.note) if found.note else found.store,
        held=tuple(item for item in found.items if item.expires_at is not None),
        proxies={item.name: proxy_url(item.name) for item in found.items if item.delivery == "proxy"},
    )


def renew(name: str) -> Renewed:
    """Let what this server holds of it live longer. Raises RefusedError `secret.not_held` and others."""
    document = ask(f"/{check_name(name)}/renew", {}, timeout=PATIENCE, of="secrets")
    try:
        return Renewed(secret=_granted(document))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(repr(error)) from error


def revoke(name: str) -> Ended:
    """End what this server holds of it; it may be read anew. Raises SandboxError."""
    document = ask(f"/{check_name(name)}/revoke", {}, timeout=PATIENCE, of="secrets")
    try:
        return Ended(name=name, ended=int(document["ended"]), queued=int(document["queued"]))
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(repr(error)) from error


def proxy_url(name: str) -> str:
    """Where the broker's proxy for this secret is."""
    return f"{door('secrets')}/{name}/proxy/"


def unreadable(what: str) -> AnswerError:
    """The broker's answer is of another version."""
    return AnswerError(
        f"The broker's answer lacks what this version expects ({what}).",
        code="door.unreadable",
        remedy="Run %sandbox doctor, and tell the hub's admin.",
    )


def instant(text: str | None) -> datetime | None:
    """A time of an answer."""
    if text is None:
        return None
    # Python 3.10 does not read the Z that stands for +00:00.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


class _Memory:
    """The last list, and when it came by this process's clock."""

    def __init__(self) -> None:
        self._last: SecretList | None = None
        self._at = 0.0

    def keep(self, found: SecretList) -> None:
        self._last, self._at = found, time.monotonic()

    def recall(self) -> SecretList | None:
        return self._last if time.monotonic() - self._at < _REMEMBERED else None


_memory = _Memory()


def _listed(document: Mapping[str, Any]) -> SecretList:
    try:
        store = document["store"]
        return SecretList(
            profile=str(document["profile"]),
            items=tuple(map(_granted, document["items"])),
            store=Store(
                kind=str(store["kind"]),
                ok=bool(store["ok"]),
                code=str(store["code"]),
                message=str(store["message"]),
                remedy=str(store["remedy"]),
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(repr(error)) from error


def _granted(item: Mapping[str, Any]) -> GrantedSecret:
    return GrantedSecret(
        name=str(item["name"]),
        kind=str(item["kind"]),
        delivery=str(item["delivery"]),
        host=str(item["host"]),
        environment={str(name): str(field) for name, field in item["environment"].items()},
        granted_by=str(item["granted_by"]),
        stored=None if item["stored"] is None else bool(item["stored"]),
        static=bool(item["static"]),
        version=None if item["version"] is None else int(item["version"]),
        changed_at=instant(item["changed_at"]),
        expires_at=instant(item["expires_at"]),
        renewed=bool(item["renewed"]),
    )
