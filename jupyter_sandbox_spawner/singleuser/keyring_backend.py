"""How do pip and twine find the secrets of kind pip? keyring asks this backend, which its entry point names.

Law: only a whole https address at exactly a granted host is answered, and this sandbox's own door; nothing is
stored, nothing deleted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.credentials import Credential, SimpleCredential
from keyring.errors import PasswordDeleteError, PasswordSetError

from ..errors import SandboxError
from .door import is_inside
from .secret_places import PROXY_USER, Login, login, own_login, place_of

__all__ = ["SandboxKeyring"]

_Answer = TypeVar("_Answer")
_NO_USER = "__token__"  # what PyPI and most indexes take where a token stands alone


class _ReadOnlyError(PasswordSetError, NotImplementedError):
    """keyring's chain then asks the next backend, where a person has one of their own."""


class SandboxKeyring(KeyringBackend):
    """Answers for grants of kind pip; keyring's chain goes on to a person's own backends for the rest."""

    @properties.classproperty
    def priority(self) -> float:
        """Before a desktop's (5), below the chain itself (10), which keeps the others in use."""
        if not is_inside():
            raise RuntimeError("This is not a sandbox.")
        return 9

    def get_password(self, service: str, username: str) -> str | None:
        """The password for this address and user; None where none is granted."""
        found = self.get_credential(service, username)
        return None if found is None else found.password

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """User and password for this address."""
        own = _own(service, username)
        if own:
            return SimpleCredential(*own)
        found = _found(service, username or "")
        if found is None:
            return None
        return SimpleCredential(found.user or username or _NO_USER, found.password.reveal())

    def set_password(self, service: str, username: str, password: str) -> None:
        """Refused: the broker's secrets are put by an admin."""
        raise _ReadOnlyError("Secrets of a sandbox are stored by the hub's admin.")

    def delete_password(self, service: str, username: str) -> None:
        """Refused."""
        raise PasswordDeleteError("Secrets of a sandbox are deleted by the hub's admin.")


def _own(service: str, user: str | None) -> tuple[str, str] | None:
    """For the broker's proxy on this sandbox's own loopback the server's own token."""
    return _told(lambda: own_login("pip", service)) if user in (None, "", PROXY_USER) else None


def _found(service: str, user: str) -> Login | None:
    host = place_of(service)
    return _told(lambda: login("pip", host, user)) if host else None


def _told(ask: Callable[[], _Answer | None]) -> _Answer | None:
    try:
        return ask()
    except SandboxError as error:
        # keyring's callers treat an error as a broken keyring and stop using it for everything.
        print(f"jupyter sandbox: {error}", file=sys.stderr)
        return None
