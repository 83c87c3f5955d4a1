"""Which tokens and leases does each sandbox have at Vault, and how do they begin, live longer and end?

Law: what was made is in the journal and in the audit before anybody gets it; what must end is in the journal
first, and stays there until Vault says that it is over. Values and tokens are in memory only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal
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
_WRAPPED_FOR = 120  # seconds in which a wrapped token has to be opened
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
                jwt = self._signer.token(self.site, reader)
                held = await self._begin(reader, "", await self.client.login_jwt(jwt))
            return held

    async def wrapped(self, reader: Reader, grant: Grant) -> tuple[Held, Login]:
        """A token of its own for the sandbox itself, which only the sandbox opens."""
        login = await self.client.login_jwt(self._signer.token(self.site, reader), _WRAPPED_FOR)
        # For how long the token inside lives is not said; the role's time is asked of the accessor.
        answer = await self.client.write(
            await self.own.token(), "auth/token/lookup-accessor", {"accessor": login.accessor}
        )
        seconds = float(answer.data.get("ttl") or _WRAPPED_FOR)
        inner = Login(token="", accessor=login.accessor, seconds=seconds)
        return await self._begin(reader, grant.name, inner), login

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
        await self.journal.add(
            Kept(
                id=held.id,
                kind=held.kind,
                sandbox=sandbox,
                user=held.reader.user,
                secret=held.secret,
                accessor=held.accessor,
                ends_at=self.until(held),
            )
        )
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
            raise
        held.life = renewed(held.life, self.clock(), seconds, self._chance())
        await self.journal.extend([held.id], self.until(held))

    async def renew_by_id(self, kind: str, name: str, seconds: float = 0.0) -> float:
        """The seconds that Vault lets it live longer. Raises SandboxError."""
        own = await self.own.token()
        if kind == "token":
            answer = await self.client.write(
                own, "auth/token/renew-accessor", {"accessor": name}, what="a renewal"
            )
            return float(answer.data.get("lease_duration") or 0)
        body = {"lease_id": name, "increment": int(seconds)}
        return (await self.client.write(own, "sys/leases/renew", body, what="a renewal")).seconds

    def forget(self, held: Held) -> None:
        """It is over; whoever needs it gets a new one."""
        mine = self._held.get(held.reader.sandbox, {})
        if mine.get(held.secret) is held:
            del mine[held.secret]

    def drop(self, sandboxes: Collection[str]) -> list[Held]:
        """Forget all that these hold, at once; what is being made for them now ends too."""
        self._ended |= set(sandboxes)
        return [held for name in sandboxes for held in self._held.pop(name, {}).values()]

    def settle(self, known: Collection[str]) -> None:
        """Of others nothing is being made any more."""
        self._ended &= set(known)

    def let_again(self, sandboxes: Collection[str]) -> None:
        """They were only to lose what they held, and may get new ones."""
        self._ended -= set(sandboxes)

    async def end_one(self, name: str, kind: str) -> None:
        """End it at Vault; no error where it is over already."""
        own = await self.own.token()
        try:
            if kind == "token":
                await self.client.write(
                    own, "auth/token/revoke-accessor", {"accessor": name}, what="a revocation"
                )
            else:
                await self.client.write(own, "sys/leases/revoke", {"lease_id": name}, what="a revocation")
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
