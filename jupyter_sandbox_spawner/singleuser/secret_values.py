"""How does a notebook hold a secret without showing it by accident? As an object that says nothing by itself.

Law: only `reveal()` gives the value. That prevents accidents; it is no wall against code in the same process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex, overload

from ..errors import ConfigurationError, SandboxError
from ..secret_names import check_name, variables_of
from . import redaction, secret_list
from .door import ask
from .secret_answers import SecretList
from .secret_list import PATIENCE, instant, unreadable
from .view import Shown

__all__ = ["Secret", "SecretValue", "read", "secrets"]

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

    __slots__ = (
        "_fields",
        "_forget",
        "environment",
        "expires_at",
        "given",
        "host",
        "kind",
        "name",
        "renewed",
        "static",
        "version",
    )

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.name = str(document["name"])
        self.kind = str(document["kind"])
        self.static = bool(document["static"])
        self.host = str(document["host"])
        self.version = None if document["version"] is None else int(document["version"])
        self.expires_at = instant(document["expires_at"])
        self.renewed = bool(document["renewed"])
        box = {str(field): str(value) for field, value in document["fields"].items()}
        for field, value in box.items():
            redaction.register(self.name, value, field)
        given = {str(name): str(field) for name, field in document["environment"].items()}
        self.environment = variables_of(self.name, self.kind, box, given)
        self.given = bool(given)
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


class _Secrets:
    """`jupyter_sandbox.secrets`: called without a name it lists, with one it reads; and the verbs beside."""

    @overload
    def __call__(self) -> SecretList: ...
    @overload
    def __call__(self, name: str) -> Secret: ...
    def __call__(self, name: str | None = None) -> Secret | SecretList:
        """Without a name the list of what this server may read; with one its values, for a `with` block.

        Raises RefusedError `secret.not_granted`, `secret.missing` and others; UnreachableError.
        """
        return secret_list.listing() if name is None else read(name)

    def __repr__(self) -> str:
        return "<secrets: call it for the list, or with a name for values>"

    status = staticmethod(secret_list.status)
    renew = staticmethod(secret_list.renew)
    revoke = staticmethod(secret_list.revoke)

    def vault(self, name: str, file: str | None = None) -> Shown:
        """Open a wrapped Vault token once, into a file in memory. Raises SandboxError, without a file."""
        from .vault_token import unwrap  # which needs this module

        return unwrap(name, file)


secrets = _Secrets()


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
    raise unreadable(what)
