"""What is an answer about secrets, once it is here? Typed values that show themselves; none is a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from ..units import format_duration
from .view import Shown, Table, when

__all__ = ["Ended", "GrantedSecret", "Renewed", "SecretList", "SecretStatus", "Store"]

_KINDS = {"embedded": "the built-in store", "vault": "Vault"}


@dataclass(frozen=True)
class Store:
    """Can the store of secrets be used now? Where not, why and what to do."""

    kind: str
    ok: bool
    code: str
    message: str
    remedy: str

    def sentence(self) -> str:
        """One sentence for people."""
        if self.ok:
            return f"{_KINDS.get(self.kind, self.kind)} answers"
        return f"{self.message} {self.remedy}".strip()


@dataclass(frozen=True)
class GrantedSecret:
    """What may be told of a secret: never a value. `stored` None: the store cannot say now.

    `expires_at`: the end of what this server holds of it now. `renewed`: the broker moves that end while
    the server runs.
    """

    name: str
    kind: str
    delivery: str
    host: str
    environment: Mapping[str, str]
    granted_by: str
    stored: bool | None
    static: bool
    version: int | None
    changed_at: datetime | None
    expires_at: datetime | None
    renewed: bool

    def row(self, now: datetime) -> tuple[str, ...]:
        """Cells of the table."""
        kind = f"{self.kind}, static" if self.static else self.kind
        version = "" if self.version is None else str(self.version)
        host = f"{self.host} by proxy" if self.delivery == "proxy" else self.host
        return self.name, kind, version, self._expiry(now), host, self.granted_by

    def _expiry(self, now: datetime) -> str:
        if self.stored is None:
            return "not known now"
        if not self.stored:
            return "not stored yet"
        if self.expires_at is None:
            return "never" if self.static else "not read yet"
        left = (self.expires_at - now).total_seconds()
        return f"in {format_duration(left)}" if left > 0 else "expired"

    def until(self, now: datetime) -> str:
        """The end of what is held, and whether it moves."""
        if self.expires_at is None:
            return "no end of its own"
        if self.expires_at <= now:
            return f"expired {when(self.expires_at, now)}"
        return f"{when(self.expires_at, now)}{', renewed while this server runs' if self.renewed else ''}"


@dataclass(frozen=True, repr=False)
class SecretList(Shown):
    """The secrets that this server may read. `note`: why it may be out of date; "" where it is not."""

    profile: str
    items: tuple[GrantedSecret, ...]
    store: Store
    note: str = ""

    def blocks(self) -> Iterator[str | Table]:
        """What is wrong now, then a table, or a sentence that says whom to ask."""
        if self.note:
            yield self.note
        if not self.store.ok:
            yield self.store.sentence()
        if not self.items:
            yield f"The profile {self.profile!r} grants no secrets. Ask the hub's admin for what you need."
            return
        now = datetime.now(timezone.utc)
        header = ("name", "kind", "version", "expires", "for", "granted by")
        yield _without_empty(header, [item.row(now) for item in self.items])
        if any(item.static for item in self.items):
            yield "static: the value stays valid when this server has stopped, so keep it out of files."


@dataclass(frozen=True, repr=False)
class SecretStatus(Shown):
    """The store's health, what this server holds now, and where the broker's proxy is."""

    profile: str
    store: Store
    held: tuple[GrantedSecret, ...]
    proxies: Mapping[str, str]

    def blocks(self) -> Iterator[str | Table]:
        """Two tables with a sentence in the place of what is empty."""
        yield f"Store: {self.store.sentence()}{'.' if self.store.ok else ''}"
        now = datetime.now(timezone.utc)
        if self.held:
            rows = [(item.name, item.kind, item.until(now)) for item in self.held]
            yield Table(rows, header=("held now", "kind", "until"))
        else:
            yield "This server holds no credential that ends."
        if self.proxies:
            yield Table(list(self.proxies.items()), header=("by proxy", "send requests to"))


@dataclass(frozen=True, repr=False)
class Renewed(Shown):
    """A credential with its new end."""

    secret: GrantedSecret

    def blocks(self) -> Iterator[str | Table]:
        """One sentence."""
        yield f"{self.secret.name} is valid: {self.secret.until(datetime.now(timezone.utc))}."


@dataclass(frozen=True, repr=False)
class Ended(Shown):
    """How many credentials were ended, and how many the store did not end yet."""

    name: str
    ended: int
    queued: int

    def blocks(self) -> Iterator[str | Table]:
        """What happened, and what goes on by itself."""
        if self.ended or not self.queued:
            yield f"{self.ended or 'No'} credential{'s' if self.ended > 1 else ''} of {self.name} ended."
        if self.queued:
            yield f"{self.queued} of {self.name} could not be ended yet; the broker goes on trying."
        if not self.ended and not self.queued:
            yield "A static value is valid until it is changed where it is used: ask the hub's admin."


def _without_empty(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """A table of the columns in which some row says something."""
    kept = [column for column in range(len(header)) if any(row[column] for row in rows)]
    return Table([[row[column] for column in kept] for row in rows], header=[header[c] for c in kept])
