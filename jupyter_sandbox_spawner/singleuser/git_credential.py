"""What does git get when it asks for a login? That of a grant for exactly this host, or nothing at all.

Law: what is not a plain question for https at a granted host gets no word, and nothing is ever stored.
ref: gitcredentials(7), git-credential(1) "INPUT/OUTPUT FORMAT"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..errors import SandboxError
from .door import is_inside
from .secret_places import PROXY_USER, Login, login, own_login

__all__ = ["answer"]

_MOST = 64 << 10  # characters; git sends a few hundred
# Attributes that git may send more than once.
_LISTS = ("capability[]", "wwwauth[]", "state[]")
_NO_USER = "git"  # most servers that take a token alone take any name with it


def answer(verb: str, question: str) -> Iterator[str]:
    """Lines for git. Raises SandboxError after them where what is granted cannot be read now.

    It is set up for hosts that are granted (hub/environment.py), so then git is told to ask nobody else.
    """
    asked = _attributes(question) if verb == "get" else {}
    if not is_inside() or not asked:
        return
    try:
        yield from _answered(asked)
    except SandboxError:
        # Else git would ask the person, who has nothing to type, at a terminal that a notebook hides.
        yield "quit=1"
        raise


def _answered(asked: Mapping[str, str]) -> Iterator[str]:
    if asked.get("protocol") == "http":
        yield from _by_proxy(asked)
    elif asked.get("protocol") == "https" and asked.get("host"):
        found = login("git", asked["host"], asked.get("username", ""))
        if found is not None:
            yield from _told(found, asked.get("username", ""))


def _by_proxy(asked: Mapping[str, str]) -> Iterator[str]:
    """The broker's proxy on this sandbox's own loopback; any other http is not answered."""
    found = own_login("git", f"http://{asked.get('host', '')}/{asked.get('path', '')}")
    if found is not None and asked.get("username", PROXY_USER) == PROXY_USER:
        yield from (f"username={found[0]}", f"password={found[1]}")


def _told(found: Login, asked_user: str) -> Iterator[str]:
    user, password = found.user or asked_user or _NO_USER, found.password.reveal()
    if any(letter in f"{user}{password}" for letter in "\n\r\0"):
        raise SandboxError(
            f"The secret {found.name!r} has a line break in its user or password.",
            code="secret.value_unfit",
            remedy="git takes no such login; ask the hub's admin to store it anew.",
        )
    yield f"username={user}"
    yield f"password={password}"
    if found.expires_at is not None:
        yield f"password_expiry_utc={int(found.expires_at.timestamp())}"


def _attributes(question: str) -> dict[str, str]:
    """What git asks; empty where it is not git's way of asking."""
    found: dict[str, str] = {}
    if len(question) > _MOST:
        return {}
    for line in question.split("\n"):
        if not line:
            break
        name, mark, text = line.partition("=")
        if name in _LISTS:
            continue
        if not mark or name in found or not text.isprintable():
            return {}
        found[name] = text
    return found
