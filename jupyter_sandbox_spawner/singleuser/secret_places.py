"""Which granted secret may a program use at this place? Of the kind, for https, at exactly the granted host.

Law: a place is compared as it is written: no spelling that would have to be understood is another's place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from .door import door
from .secret_list import listing, proxy_url
from .secret_values import Secret, SecretValue, read

__all__ = ["PROXY_USER", "Login", "login", "own_login", "place_of"]

PROXY_USER = "sandbox"
_USERS = ("username", "user")
_PASSWORDS = ("password", "token", "value")
_HTTPS_PORT = ":443"


@dataclass(frozen=True)
class Login:
    """User and password for one place; `user` is "" where the secret names none."""

    name: str
    user: str
    password: SecretValue
    expires_at: datetime | None


def login(kind: str, host: str, user: str = "") -> Login | None:
    """The first granted login of this kind for `host` (`name` or `name:port`) and, where one is named, user.

    None where nothing is granted for that place. Raises SandboxError where what is granted cannot be read.
    """
    for name in _names(kind, host):
        found = _login(read(name))
        if not user or found.user in ("", user):
            return found
    return None


def place_of(url: str) -> str:
    """The host of an https address as grants have it; "" for anything else, or an odd spelling."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    plain = url.isascii() and url.isprintable() and "\\" not in url and " " not in url
    return parts.netloc if plain and url.startswith("https://") else ""


def own_login(kind: str, url: str) -> tuple[str, str] | None:
    """User and password for an address below the broker's proxy, where a grant of this kind is for it.

    It is the server's own token, which opens nothing but this sandbox's own door.
    """
    if not url.startswith(f"{door('secrets')}/") or ".." in url or "%" in url:
        return None
    for item in listing().items:
        if item.kind == kind and item.delivery == "proxy" and url.startswith(proxy_url(item.name)):
            return PROXY_USER, os.environ["JUPYTERHUB_API_TOKEN"]
    return None


def _names(kind: str, host: str) -> Iterator[str]:
    wanted = host.removesuffix(_HTTPS_PORT)
    for item in listing().items:
        if item.kind == kind and item.delivery == "value" and item.host and item.host == wanted:
            yield item.name


def _login(secret: Secret) -> Login:
    user = _first(secret, _USERS)
    password = _first(secret, _PASSWORDS) or secret[_PASSWORDS[0]]
    return Login(
        name=secret.name,
        user=user.reveal() if user else "",
        password=password,
        expires_at=secret.expires_at,
    )


def _first(secret: Mapping[str, SecretValue], fields: tuple[str, ...]) -> SecretValue | None:
    return next((secret[field] for field in fields if field in secret), None)
