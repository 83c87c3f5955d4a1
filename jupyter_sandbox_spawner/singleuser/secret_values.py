"""How does a notebook hold a secret without showing it by accident? As an object that says nothing by itself.

Law: only `reveal()` gives the value. That prevents accidents; it is no wall against code in the same process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex, overload

from ..errors import AnswerError, ConfigurationError, SandboxError
from ..secret_names import check_name, variables_of
from ..units import format_duration
from . import redaction
from .door import ask
from .view import Shown, Table

__all__ = ["PATIENCE", "GrantedSecret", "Secret", "SecretList", "SecretValue", "listing", "read", "secrets"]

PATIENCE = 13.0  # seconds; the door waits up to 12 for the broker, which asks hub and control
_HIDDEN = "<secret>"


class SecretValue:
    """One value. Shown, formatted, logged or in a traceback it is `<secret>`; `reveal()` gives the text."""

    __slots__ = ("_reveal",)

    def __init__(self, box: dict[str, str], field: str) -> None:
        def reveal() -> str:
            if field not in box:
                raise SandboxError(
                    "This secret's `with` block is over.",
                    code="secret.closed",
                    remedy="Reveal it inside the block, or call jupyter_sandbox.secrets(NAME) again.",
                )
            return box[field]

        self._reveal = reveal

    def reveal(self) -> str:
        """The value itself. Raises SandboxError `secret.closed` after the end of its `with` block."""
        return self._reveal()

    def __repr__(self) -> str:
        return _HIDDEN

    def __format__(self, specification: str) -> str:
        return _HIDDEN

    def __copy__(self) -> SecretValue:
        return self

    def __deepcopy__(self, memo: Any) -> SecretValue:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("A secret is not pickled; read it again where it is needed.")


class _NoFieldError(ConfigurationError, KeyError):
    """A KeyError too, as a mapping's own methods expect one."""


class Secret(Mapping[str, SecretValue]):
    """The values of one secret by field; at the end of a `with` block they are forgotten."""

    __slots__ = ("_fields", "_forget", "environment", "expires_at", "kind", "name", "static")

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.name = str(document["name"])
        self.kind = str(document["kind"])
        self.static = bool(document["static"])
        self.expires_at = _instant(document["expires_at"])
        box = {str(field): str(value) for field, value in document["fields"].items()}
        for field, value in box.items():
            redaction.register(self.name, value, field)
        given = {str(name): str(field) for name, field in document["environment"].items()}
        self.environment = variables_of(self.name, self.kind, box, given)
        self._fields = {field: SecretValue(box, field) for field in box}
        self._forget = box.clear

    def __getitem__(self, field: str) -> SecretValue:
        if field not in self._fields:
            known = ", ".join(self._fields)
            raise _NoFieldError(
                f"The secret {self.name!r} has no field {field!r}.",
                code="secret.no_field",
                field="field",
                remedy=f"It has: {known}.",
            )
        return self._fields[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, field: object) -> bool:
        return field in self._fields

    def __repr__(self) -> str:
        return f"<secret {self.name}: {', '.join(self._fields)}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("A secret is not pickled; read it again where it is needed.")

    def __enter__(self) -> Secret:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget the values."""
        self._forget()


@dataclass(frozen=True)
class GrantedSecret:
    """What may be told of a secret: never a value. `stored`: somebody has put it."""

    name: str
    kind: str
    static: bool
    expires_at: datetime | None
    granted_by: str
    stored: bool


@dataclass(frozen=True, repr=False)
class SecretList(Shown):
    """The secrets that this server may read."""

    profile: str
    items: tuple[GrantedSecret, ...]

    def blocks(self) -> Iterator[str | Table]:
        """A table, or a sentence that says whom to ask."""
        if not self.items:
            yield f"The profile {self.profile!r} grants no secrets. Ask the hub's admin for what you need."
            return
        rows = [(item.name, _kind(item), _expiry(item), item.granted_by) for item in self.items]
        yield Table(rows, header=("name", "kind", "expires", "granted by"))
        if any(item.static for item in self.items):
            yield "static: the value stays valid when this server has stopped, so keep it out of files."


@overload
def secrets() -> SecretList: ...
@overload
def secrets(name: str) -> Secret: ...
def secrets(name: str | None = None) -> Secret | SecretList:
    """Without a name the list of what this server may read; with one its values, for a `with` block.

    Raises RefusedError `secret.not_granted`, `secret.missing` and others; UnreachableError.
    """
    return listing() if name is None else read(name)


def listing() -> SecretList:
    """Names, kinds, ends and who granted them. Raises SandboxError."""
    document = ask(timeout=PATIENCE, of="secrets")
    try:
        items = tuple(
            GrantedSecret(
                name=str(item["name"]),
                kind=str(item["kind"]),
                static=bool(item["static"]),
                expires_at=_instant(item["expires_at"]),
                granted_by=str(item["granted_by"]),
                stored=bool(item["stored"]),
            )
            for item in document["items"]
        )
        return SecretList(profile=str(document["profile"]), items=items)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(repr(error)) from error


def read(name: str) -> Secret:
    """The values of a secret. Raises SandboxError."""
    document = ask(f"/{check_name(name)}/read", {}, timeout=PATIENCE, of="secrets")
    try:
        return Secret(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = type(error).__name__
    finally:
        # A traceback may show the variables of a frame.
        del document
    raise _unreadable(what)


def _unreadable(what: str) -> AnswerError:
    return AnswerError(
        f"The broker's answer lacks what this version expects ({what}).",
        code="door.unreadable",
        remedy="Run %sandbox doctor, and tell the hub's admin.",
    )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    # Python 3.10 does not read the Z that stands for +00:00.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _kind(item: GrantedSecret) -> str:
    return f"{item.kind}, static" if item.static else item.kind


def _expiry(item: GrantedSecret) -> str:
    if not item.stored:
        return "not stored yet"
    if item.expires_at is None:
        return "never"
    return f"in {format_duration(max((item.expires_at - datetime.now(timezone.utc)).total_seconds(), 0))}"
