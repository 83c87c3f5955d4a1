"""Which browser has logged in, with which token of the hub? In memory: a restart asks the hub again, unseen.

Law: a browser holds random numbers only; the token never leaves this process but for the hub.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

__all__ = ["Login", "Sessions"]

_SESSION = 12 * 3600.0  # seconds; the hub may end a token earlier, which is noticed within a minute
_LOGIN = 600.0
_MOST = 10_000
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, repr=False)
class Login:
    """A login on its way through the hub: `browser` began it, `then` is the path that it wanted."""

    state: str
    browser: str
    verifier: str
    then: str

    @property
    def challenge(self) -> str:
        """The verifier's hash for the hub (RFC 7636, S256)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def address(self, hub: str, client: str) -> str:
        """Where the browser goes to log in; `hub` is the hub's address for browsers, `client` who asks."""
        wanted = {
            "client_id": client,
            "response_type": "code",
            "state": self.state,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        }
        return f"{hub}/api/oauth2/authorize?{urlencode(wanted)}"


class Sessions:
    """Logins and sessions; `now` is seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._logins = _Kept[Login](_LOGIN)
        self._tokens = _Kept[str](_SESSION)

    def begin(self, browser: str, then: str, now: float) -> Login:
        """A new login of this browser ("": one that was never seen)."""
        made = Login(
            state=_random(), browser=browser or _random(), verifier=secrets.token_urlsafe(48), then=then
        )
        self._logins.put(made.state, made, now)
        return made

    def finish(self, state: str, browser: str, now: float) -> Login | None:
        """The login of this state, once, and only for the browser that began it."""
        login = self._logins.get(state, now)
        if login is None or not secrets.compare_digest(login.browser.encode(), browser.encode()):
            return None
        self._logins.drop(state)
        return login

    def open(self, token: str, now: float) -> str:
        """A new session of this token; returns what the browser keeps."""
        session = _random()
        self._tokens.put(session, token, now)
        return session

    def token(self, session: str, now: float) -> str:
        """The session's token; "" where there is none."""
        return self._tokens.get(session, now) or ""

    def close(self, session: str) -> None:
        """Forget a session."""
        self._tokens.drop(session)


class _Kept(Generic[T]):
    """Things by random name for a while; where there are too many, the oldest goes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._things: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def put(self, name: str, thing: T, now: float) -> None:
        while self._things and (
            len(self._things) >= _MOST or now - next(iter(self._things.values()))[0] > self._seconds
        ):
            self._things.popitem(last=False)
        self._things[name] = (now, thing)

    def get(self, name: str, now: float) -> T | None:
        made, thing = self._things.get(name, (now, None))
        return thing if now - made <= self._seconds else None

    def drop(self, name: str) -> None:
        self._things.pop(name, None)


def _random() -> str:
    return secrets.token_urlsafe(24)
