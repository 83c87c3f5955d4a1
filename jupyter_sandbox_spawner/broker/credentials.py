"""Which tokens and leases does each sandbox have at Vault, and how do they begin, live longer and end?

Law: what was made is in the journal and in the audit before anybody gets it; what must end is in the journal
first, and stays there until Vault says that it is over. Values and tokens are in memory only. A login whose
answer never came is known to nobody and given to nobody; it ends with its time.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal, TypeVar
from weakref import WeakValueDictionary

from ..clients.grants import ControlBrokerClient, CredentialEvent, Reader
from ..clients.vault import Answer, Login, VaultClient
from ..errors import SandboxError
from ..rules.grants import Grant
from ..rules.renewal import Life, begun, failed, renewed
from ..vault_site import VaultSite
from .journal import Journal, Kept
from .own_login import OwnLogin
from .signing import Signer

__all__ = ["Credentials", "Held", "Ways", "is_over"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
T = TypeVar("T")
_REVOKED = {
    "token": ("auth/token/revoke-accessor", "accessor"),
    "lease": ("sys/leases/revoke", "lease_id"),
}
_WRAPPED_FOR = 120  # seconds in which a wrapped token has to be opened
_GUESS = 900.0  # seconds that a token lives of which nobody has said it yet
_MARGIN = 5.0  # seconds before the end of a token from when on it is not used; at most a tenth of its life


@dataclass(kw_only=True)
class Held:
    """One credential. `secret` is the granted name it was made for; "" is the sandbox's own login."""

    id: str
    kind: Literal["token", "lease"]
    reader: Reader
    secret: str
    accessor: str
    life: Life
    token: str = field(default="", repr=False)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Ways:
    """Where credentials come from, and who has to know of them."""

    site: VaultSite
    client: VaultClient
    own: OwnLogin
    signer: Signer
    control: ControlBrokerClient


class Credentials:
    """All that sandboxes hold now, by sandbox and by what it is for."""

    def __init__(self, ways: Ways, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self.site, self.client, self.own = ways.site, ways.client, ways.own
        self.journal = journal
        self.clock = clock
        self._signer = ways.signer
        self._control = ways.control
        self._held: dict[str, dict[str, Held]] = {}
        self._ended: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._chance = random.SystemRandom().random

    def of(self, sandbox: str, secret: str) -> Held | None:
        """What a sandbox holds for one name and can still use."""
        held = self._held.get(sandbox, {}).get(secret)
        if held is None:
            return None
        margin = min(_MARGIN, held.life.seconds / 10)
        return held if self.clock() < held.life.ends_at - margin else None

    def all(self) -> list[Held]:
        """Everything that is held."""
        return [held for each in self._held.values() for held in each.values()]

    def lock(self, sandbox: str, secret: str) -> asyncio.Lock:
        """One at a time makes what several wait for."""
        return self._locks.setdefault(f"{sandbox} {secret}", asyncio.Lock())

    def until(self, held: Held) -> datetime:
        """When it ends, unless it is renewed: aware UTC."""
        return datetime.now(timezone.utc) + timedelta(seconds=max(held.life.ends_at - self.clock(), 0))

    async def session(self, reader: Reader) -> Held:
        """The sandbox's own login, made where there is none that lasts."""
        async with self.lock(reader.sandbox, ""):
            held = self.of(reader.sandbox, "")
            if held is None or self.clock() >= held.life.replace_at:
                await self.own.check_namespace()
                jwt = self._signer.token(self.site, reader)
                held = await self._begin(reader, "", await self.client.login_jwt(jwt))
            return held

    async def wrapped(self, reader: Reader, grant: Grant) -> tuple[Held, Login]:
        """A token of its own for the sandbox itself, which only the sandbox opens."""
        await self.own.check_namespace()
        login = await self.client.login_jwt(self._signer.token(self.site, reader), _WRAPPED_FOR)
        # For how long the token inside lives is not said: it is kept with a guess, and its accessor asked.
        inner = Login(token="", accessor=login.accessor, seconds=_GUESS)
        held = await self._begin(reader, grant.name, inner)
        answer = await self.as_broker(
            lambda own: self.client.write(own, "auth/token/lookup-accessor", {"accessor": login.accessor})
        )
        seconds, renewable = float(answer.data.get("ttl") or _GUESS), bool(answer.data.get("renewable"))
        held.life = begun(self.clock(), seconds, renewable, self._chance())
        await self.journal.extend([held.id], self.until(held))
        return held, login

    async def _begin(self, reader: Reader, secret: str, login: Login) -> Held:
        held = Held(
            id=login.accessor,
            kind="token",
            reader=reader,
            secret=secret,
            accessor=login.accessor,
            life=begun(self.clock(), login.seconds, login.renewable, self._chance()),
            token=login.token,
        )
        await self._keep(held)
        return held

    async def leased(self, session: Held, grant: Grant, answer: Answer, values: Mapping[str, str]) -> Held:
        """Remember what an engine made for the sandbox."""
        held = Held(
            id=answer.lease,
            kind="lease",
            reader=session.reader,
            secret=grant.name,
            accessor=session.accessor,
            life=begun(self.clock(), answer.seconds, answer.renewable, self._chance()),
            values=values,
        )
        await self._keep(held)
        return held

    async def _keep(self, held: Held) -> None:
        sandbox = held.reader.sandbox
        await self._write_down(held)
        try:
            event = CredentialEvent(verb="issued", name=held.secret, accessor=held.id)
            await self._control.credential(sandbox, event)
        except SandboxError:
            await self.journal.end([held.id])
            raise
        if sandbox in self._ended:
            # Its end came while this was made.
            await self.journal.end([held.id])
            return
        older = self._held.setdefault(sandbox, {}).get(held.secret)
        self._held[sandbox][held.secret] = held
        if older is not None and not self._has_leases(older):
            await self.journal.end([older.id])

    async def _write_down(self, held: Held) -> None:
        kept = Kept(
            id=held.id,
            kind=held.kind,
            sandbox=held.reader.sandbox,
            user=held.reader.user,
            secret=held.secret,
            accessor=held.accessor,
            ends_at=self.until(held),
        )
        try:
            await self.journal.add(kept)
        except SandboxError:
            # What cannot be written down is given to nobody, and ended while it is known.
            try:
                await self.end_one(held.id, held.kind)
            except SandboxError as error:
                log.error("%s: %s ends with its time only: %s", kept.sandbox, held.id, error)
            raise

    def _has_leases(self, held: Held) -> bool:
        """With a token its leases end; one that still has some lives on until the sandbox ends."""
        return held.kind == "token" and any(
            item.kind == "lease" and item.accessor == held.accessor
            for item in self._held.get(held.reader.sandbox, {}).values()
        )

    async def renew(self, held: Held) -> None:
        """Let it live longer. Raises SandboxError; it then is tried again later."""
        try:
            seconds = await self.renew_by_id(held.kind, held.id, held.life.seconds)
        except SandboxError as error:
            held.life = failed(held.life, self.clock())
            if is_over(error):
                self.forget(held)
                await self.journal.forget([held.id])
                lost = CredentialEvent(verb="lost", name=held.secret, accessor=held.id, code=error.code)
                await self.say(held.reader.sandbox, lost)
            raise
        held.life = renewed(held.life, self.clock(), seconds, self._chance())
        await self.journal.extend([held.id], self.until(held))

    async def renew_by_id(self, kind: str, name: str, seconds: float = 0.0) -> float:
        """The seconds that Vault lets it live longer; 0 asks for what its role gives. Raises SandboxError."""
        token = kind == "token"
        path = "auth/token/renew-accessor" if token else "sys/leases/renew"
        body: Mapping[str, str | int] = {"accessor": name}
        if not token:
            body = {"lease_id": name, "increment": int(seconds)}
        answer = await self.as_broker(lambda own: self.client.write(own, path, body, what="a renewal"))
        return float(answer.data.get("lease_duration") or 0) if token else answer.seconds

    async def as_broker(self, call: Callable[[str], Awaitable[T]]) -> T:
        """A call in the broker's own name; where its token is refused, once more with a new one."""
        try:
            return await call(await self.own.token())
        except SandboxError as error:
            if error.code != "vault.denied" or is_over(error) or not self.own.refused():
                raise
        return await call(await self.own.token())

    def forget(self, held: Held) -> None:
        """It is over; whoever needs it gets a new one."""
        mine = self._held.get(held.reader.sandbox, {})
        for secret, other in list(mine.items()):
            # With a token its leases are over.
            if other is held or (held.kind == "token" and other.accessor == held.accessor):
                del mine[secret]

    def drop(self, sandboxes: Collection[str]) -> None:
        """Forget all that these hold, at once; what is being made for them now ends too."""
        self._ended |= set(sandboxes)
        for name in sandboxes:
            self._held.pop(name, None)

    def settle(self, known: Collection[str]) -> None:
        """Of others nothing is being made any more."""
        self._ended &= set(known)

    def let_again(self, sandboxes: Collection[str]) -> None:
        """They were only to lose what they held, and may get new ones."""
        self._ended -= set(sandboxes)

    async def end_one(self, name: str, kind: str) -> None:
        """End it at Vault; no error where it is over already."""
        path, field = _REVOKED[kind]
        try:
            await self.as_broker(lambda own: self.client.write(own, path, {field: name}, what="a revocation"))
        except SandboxError as error:
            if not is_over(error):
                raise

    async def say(self, sandbox: str, event: CredentialEvent) -> None:
        """Into the audit, where that is possible; an end is not put off because it is not."""
        try:
            await self._control.credential(sandbox, event)
        except SandboxError as error:
            log.error("%s: %s of %r is not in the audit: %s", sandbox, event.verb, event.name, error)


def is_over(error: SandboxError) -> bool:
    """Does Vault say that it knows this credential no more?"""
    known = ("invalid accessor", "lease not found", "invalid lease")
    return error.code in ("vault.refused", "vault.denied", "vault.absent") and any(
        words in error.message for words in known
    )
