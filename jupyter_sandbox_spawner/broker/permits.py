"""Which sandbox may have requests sent with which secret now, without asking control for each of them?

Law: control is asked again after a few seconds, and writes it down once a minute: the audit has each minute
in which a sandbox used a secret, not each of the hundreds of requests of an installation of packages.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from ..clients.grants import ControlBrokerClient, ReadAnswer, ReadFailure, ReadRequest
from ..clients.hub import HubClient
from ..errors import RefusedError, SandboxError
from ..rules.bucket import Bucket
from ..rules.credential_header import check_kind
from ..rules.grants import Asker
from .blocks import Blocks, blocked
from .store import Secret, SecretStore

__all__ = ["Permit", "PermitTimes", "Permits"]

# Of questions to control: each may be a synced line of the audit.
_QUESTIONS_A_SECOND = 5.0
_QUESTIONS_AT_ONCE = 60.0
_MOST = 10_000  # remembered; forgetting one costs a question and perhaps a line of the audit


@dataclass(frozen=True, kw_only=True)
class PermitTimes:
    """Seconds that control's answer is believed, and that one line of the audit stands for."""

    believed: float = 5.0
    audited: float = 60.0


@dataclass
class Permit:
    """One sandbox, token and secret. `told` holds the failures that the audit knows of this minute."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: ReadAnswer | None = None
    believed_until: float = 0.0
    audited_until: float = 0.0
    told: set[str] = field(default_factory=set)


class Permits:
    """What control has allowed, for as long as that is believed; in memory only."""

    def __init__(
        self,
        store: SecretStore,
        hub: HubClient,
        control: ControlBrokerClient,
        blocks: Blocks,
        times: PermitTimes | None = None,
    ) -> None:
        self._store = store
        self._hub = hub
        self._control = control
        self._blocks = blocks
        self._times = times or PermitTimes()
        self._known: dict[tuple[str, str, bytes], Permit] = {}
        self._buckets: dict[str, Bucket] = {}

    async def secret(self, sandbox: str, token: str, name: str) -> tuple[ReadAnswer, Secret]:
        """Control's answer and the values. Raises what control, store or block have against it."""
        permit, answer = await self._allowed(sandbox, token, name)
        try:
            if self._blocks.holds(sandbox):
                raise blocked()
            check_kind(answer.grant)
            return answer, await self._store.read(answer.reader, answer.grant)
        except SandboxError as error:
            if error.code not in permit.told:
                permit.told.add(error.code)
                await self._control.failed(sandbox, ReadFailure(name=name, code=error.code))
            raise

    async def _allowed(self, sandbox: str, token: str, name: str) -> tuple[Permit, ReadAnswer]:
        now = asyncio.get_running_loop().time()
        permit = self._permit((sandbox, name, hashlib.sha256(token.encode()).digest()), now)
        async with permit.lock:
            if permit.answer is None or now >= permit.believed_until:
                permit.answer = await self._asked(sandbox, token, name, permit, now)
                permit.believed_until = now + self._times.believed
            return permit, permit.answer

    async def _asked(self, sandbox: str, token: str, name: str, permit: Permit, now: float) -> ReadAnswer:
        permit.answer = None
        self._pace(sandbox, now)
        asker = await self._asker(token)
        granted = await self._control.granted(sandbox, asker)
        grants = [grant for grant in granted.grants if grant.name == name and grant.host]
        if grants and now < permit.audited_until:
            return ReadAnswer(profile=granted.profile, reader=granted.reader, grant=grants[0])
        wanted = ReadRequest(asker=asker, name=name, delivery="proxy")
        answer = await self._control.may_read(sandbox, wanted)
        permit.audited_until = now + self._times.audited
        permit.told.clear()
        return answer

    def _permit(self, key: tuple[str, str, bytes], now: float) -> Permit:
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST:
                kept = {key: permit for key, permit in self._known.items() if now < permit.audited_until}
                self._known = kept if len(kept) < _MOST else {}
            found = self._known[key] = Permit()
        return found

    async def _asker(self, token: str) -> Asker:
        if not token:
            return Asker(owner=None)
        owner = await self._hub.whose(token)
        return Asker(owner="") if owner is None else Asker(owner=owner.name, scopes=owner.scopes)

    def _pace(self, sandbox: str, now: float) -> None:
        if len(self._buckets) >= _MOST:
            self._buckets.clear()
        bucket = self._buckets.setdefault(sandbox, Bucket(_QUESTIONS_A_SECOND, now, _QUESTIONS_AT_ONCE))
        if bucket.wait(now) > 0:
            raise RefusedError(
                "This server asked for too many secrets, or with too many tokens.",
                code="secret.too_many",
                remedy="Try again in a few seconds.",
                status=429,
            )
        bucket.take()
