"""How does the broker talk to Vault? By hvac, in a few threads, with deadlines and typed answers and errors.

Law: a path's parts are checked before hvac sees them, since it would collapse `..`; no redirect is followed;
a token is in no log, no repr and no error.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import hvac
import requests
from hvac.exceptions import VaultError

from ..errors import ConfigurationError, SandboxError
from ..rules.breaker import Breaker
from ..rules.vault_answers import is_outage, outage_error
from ..vault_site import VaultSite
from .vault_errors import StatusError, translated
from .vault_wires import Wire, Wires

__all__ = ["Answer", "Login", "VaultClient", "checked_path"]

log = logging.getLogger("jupyter_sandbox_spawner.vault")
T = TypeVar("T")
_THREADS = 8
_TIMES = (2.0, 5.0)  # seconds to connect, and from byte to byte
_DEADLINE = 8.0  # seconds for a call in all, waiting for a thread too
_HEALTH = 2.5  # seconds
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@-]*")


@dataclass(frozen=True, kw_only=True)
class Login:
    """A token, what names it, and for how many seconds it lives. `wrapped`: it only unwraps another."""

    token: str = field(repr=False)
    accessor: str
    seconds: float
    renewable: bool = True
    wrapped: bool = False
    creation_path: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What Vault answered: its data, and the lease where the data is a credential that it made."""

    data: Mapping[str, Any] = field(repr=False, default_factory=dict)
    lease: str = ""
    seconds: float = 0.0
    renewable: bool = False


class VaultClient:
    """Calls of Vault's API; use it as `async with`. Every call raises what rules/vault_answers.py says."""

    def __init__(
        self, site: VaultSite, clock: Callable[[], float] = time.monotonic, deadline: float = _DEADLINE
    ) -> None:
        self._site = site
        self._clock = clock
        self._deadline = deadline
        self._wires = Wires(site.ca or True)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="vault")
        self._breaker = Breaker()
        self._noting = threading.Lock()

    async def __aenter__(self) -> VaultClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._wires.close()

    @property
    def outage(self) -> SandboxError | None:
        """Why nothing is tried at present; None where it is."""
        return self._breaker.open_at(self._clock())

    async def health(self) -> Mapping[str, Any]:
        """Vault answers and is unsealed, with what it tells of itself; else raises why."""

        def ask(client: hvac.Client) -> Mapping[str, Any]:
            response = client.adapter.request(
                "get", "/v1/sys/health?standbyok=true&perfstandbyok=true", raise_exception=False
            )
            if isinstance(response, dict):
                return response
            raise StatusError(response.status_code if isinstance(response, requests.Response) else 500)

        return await self._call(ask, "", "Vault's health", seconds=_HEALTH)

    async def login_jwt(self, jwt: str, wrap_seconds: int = 0) -> Login:
        """A sandbox's own token. Where `wrap_seconds` is given, the token comes wrapped."""
        body = {"role": self._site.jwt_role, "jwt": jwt}
        return await self._login(self._site.login_path, body, wrap_seconds)

    async def login(self, mount: str, body: Mapping[str, str]) -> Login:
        """Any other login, such as by AppRole or a Kubernetes service account."""
        return await self._login(f"auth/{mount}/login", body)

    async def _login(self, path: str, body: Mapping[str, str], wrap_seconds: int = 0) -> Login:
        def ask(client: hvac.Client) -> Login:
            headers = {"X-Vault-Wrap-TTL": str(wrap_seconds)} if wrap_seconds else None
            document = client.adapter.post(f"/v1/{checked_path(path)}", json=dict(body), headers=headers)
            return _login_of(document)

        return await self._call(ask, "", "a login")

    async def creation_path(self, wrapped: str) -> str:
        """By which call a wrapped token was made."""
        answer = await self.write(wrapped, "sys/wrapping/lookup", {"token": wrapped}, what="a wrapped token")
        return str(answer.data.get("creation_path", ""))

    async def unwrap(self, wrapped: str) -> Answer:
        """What a wrapped token holds; it can be asked once."""
        return await self.write(wrapped, "sys/wrapping/unwrap", {}, what="a wrapped token")

    async def read(self, token: str, path: str, what: str = "", version: int | None = None) -> Answer:
        """GET a path."""

        def ask(client: hvac.Client) -> Answer:
            params = {"version": version} if version is not None else None
            return _answer(client.adapter.get(f"/v1/{checked_path(path)}", params=params))

        return await self._call(ask, token, what)

    async def list(self, token: str, path: str, what: str = "") -> tuple[str, ...]:
        """The keys below a path; those that end with `/` have more below."""

        def ask(client: hvac.Client) -> Answer:
            return _answer(client.adapter.list(f"/v1/{checked_path(path)}"))

        answer = await self._call(ask, token, what)
        return tuple(str(key) for key in answer.data.get("keys", ()))

    async def write(self, token: str, path: str, body: Mapping[str, Any], what: str = "") -> Answer:
        """POST to a path."""

        def ask(client: hvac.Client) -> Answer:
            return _answer(client.adapter.post(f"/v1/{checked_path(path)}", json=dict(body)))

        return await self._call(ask, token, what)

    async def delete(self, token: str, path: str, what: str = "") -> None:
        """DELETE a path."""

        def ask(client: hvac.Client) -> Answer:
            return _answer(client.adapter.delete(f"/v1/{checked_path(path)}"))

        await self._call(ask, token, what)

    async def _call(
        self, ask: Callable[[hvac.Client], T], token: str, what: str, seconds: float | None = None
    ) -> T:
        """One call in a thread; its connection is cut at the deadline."""
        asked_at = self._clock()
        waiting = self._breaker.check(asked_at)
        if waiting is not None:
            raise waiting
        wire = self._wires.take()
        turn = partial(self._turn, asked_at, ask, token, what, wire)
        work = asyncio.get_running_loop().run_in_executor(self._pool, turn)
        try:
            return await asyncio.wait_for(asyncio.shield(work), seconds or self._deadline)
        except asyncio.TimeoutError:
            _leave(work, wire)
            slow = outage_error("slow")
            self._note(slow)
            raise slow from None
        except asyncio.CancelledError:
            _leave(work, wire)
            raise

    def _turn(self, asked_at: float, ask: Callable[[hvac.Client], T], token: str, what: str, wire: Wire) -> T:
        """In a thread. What becomes of it is noted before the next in line, who may then not have to try."""
        found = self._breaker.failed_since(asked_at)
        if found is not None:
            self._wires.give(wire)
            raise found
        try:
            answer = self._work(ask, token, what, wire)
        except SandboxError as error:
            # One that was cut says nothing of Vault.
            if not wire.is_cut:
                self._note(error)
            raise
        self._note(None)
        return answer

    def _note(self, error: SandboxError | None) -> None:
        with self._noting:
            if error is None or not is_outage(error):
                self._breaker.answered()
                return
            self._breaker.failed(self._clock(), error)
        log.warning("Vault: %s (%s)", error.message, error.__cause__ or error.code)

    def _work(self, ask: Callable[[hvac.Client], T], token: str, what: str, wire: Wire) -> T:
        try:
            if wire.is_cut:
                raise outage_error("slow")
            # An empty token, or hvac would take one from the environment or the home.
            client = hvac.Client(
                url=self._site.address,
                token=token,
                # None would be taken from the environment.
                cert="",  # type: ignore[arg-type]
                verify=self._site.ca or True,
                timeout=_TIMES,  # type: ignore[arg-type]
                allow_redirects=False,
                session=wire.session,
                namespace=self._site.namespace or None,
            )
            return ask(client)
        except (VaultError, StatusError, OSError) as error:
            raise translated(error, wire, what) from None
        finally:
            self._wires.give(wire)


def _leave(work: asyncio.Future[Any], wire: Wire) -> None:
    """Nobody waits for it: it is cut, and its error is looked at so that none is left unseen."""
    wire.cut()
    work.add_done_callback(lambda done: done.cancelled() or done.exception())


def checked_path(path: str) -> str:
    """The path, if no part needs an escape or is `..`; else ConfigurationError `vault.path_invalid`."""
    for part in path.split("/"):
        if ".." in part or not _PART.fullmatch(part):
            raise ConfigurationError(
                f"{path[:200]!r} is not a path in Vault.",
                code="vault.path_invalid",
                field="path",
                remedy="Write parts of letters, digits and . _ - : @, joined by /.",
            )
    return path


def _answer(document: Any) -> Answer:
    """hvac gives a dict, or the bare response where there is nothing to decode."""
    if isinstance(document, requests.Response):
        if document.status_code == 204:
            return Answer()
        raise StatusError(document.status_code)
    if not isinstance(document, dict):
        raise StatusError(200)
    data = document.get("data")
    if isinstance(document.get("wrap_info"), dict) or (data is not None and not isinstance(data, dict)):
        raise StatusError(200)
    return Answer(
        data=data or document.get("auth") or {},
        lease=str(document.get("lease_id") or ""),
        seconds=float(document.get("lease_duration") or 0),
        renewable=bool(document.get("renewable")),
    )


def _login_of(document: Any) -> Login:
    if not isinstance(document, dict):
        raise StatusError(document.status_code if isinstance(document, requests.Response) else 200)
    wrap, auth = document.get("wrap_info"), document.get("auth")
    try:
        if isinstance(wrap, dict):
            return Login(
                token=str(wrap["token"]),
                accessor=str(wrap["wrapped_accessor"]),
                seconds=float(wrap["ttl"]),
                wrapped=True,
                creation_path=str(wrap["creation_path"]),
            )
        if isinstance(auth, dict):
            return Login(
                token=str(auth["client_token"]),
                accessor=str(auth["accessor"]),
                seconds=float(auth["lease_duration"]),
                renewable=bool(auth["renewable"]),
            )
    except (KeyError, TypeError, ValueError):
        # Not a login of Vault; said below, without the answer's text, which may hold a token.
        raise StatusError(200) from None
    raise StatusError(200)
