"""Who renews what sandboxes hold at Vault, and ends it with them? A round every second.

Law: nothing is renewed unless control said lately that its sandbox runs; what must end is tried until Vault
says it is over, and waits on disk while Vault is away. Nobody's stop waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta, timezone

from ..clients.grants import ControlBrokerClient, CredentialEvent
from ..errors import SandboxError
from ..rules.renewal import CONFIRMED_FOR
from ..rules.vault_answers import is_outage
from .blocks import Blocks
from .credentials import Credentials, Held
from .journal import Kept
from .store import Ended

__all__ = ["Upkeep"]

log = logging.getLogger("jupyter_sandbox_spawner.broker")
_ROUND = 1.0  # seconds
_AFTER_REFUSAL = 10.0  # seconds until what Vault would not end is tried again
_ASK_CONTROL = 2.0  # seconds between two questions who still runs
_AT_ONCE = 3  # renewals and ends at the same time, so that those who read are not kept waiting
_MOST_A_ROUND = 200
# Seconds for Vault at the start: a cluster's network may learn of a new pod later than it runs.
_PATIENCE = 30.0


class Upkeep:
    """Use it as a task: `await upkeep.run()`."""

    def __init__(self, credentials: Credentials, control: ControlBrokerClient, blocks: Blocks) -> None:
        self._all = credentials
        self._control = control
        self._blocks = blocks
        self._confirmed: dict[str, float] = {}
        self._asked_at = -_ASK_CONTROL
        self._gate = asyncio.Semaphore(_AT_ONCE)
        # By id: when what failed is tried again, and when what an earlier run left is renewed.
        self._end_at: dict[str, float] = {}
        self._in_hand: set[str] = set()
        self._renew_at: dict[str, float] = {}
        self._patient_until = 0.0
        self._told = False

    async def begin(self) -> None:
        """After a start the tokens of before are lost: those without leases end, others live with theirs."""
        kept = await self._all.journal.all()
        leased = {item.accessor for item in kept if item.kind == "lease"}
        # One that was made for a secret is in its sandbox, and no more lost than the sandbox.
        own = [item for item in kept if item.kind == "token" and not item.secret]
        lost = [item.id for item in own if item.id not in leased]
        if lost:
            log.info("%d logins of an earlier run are ended.", len(lost))
        await self._all.journal.end(lost)

    async def run(self) -> None:
        """Until it is cancelled."""
        self._patient_until = self._all.clock() + _PATIENCE
        while True:
            try:
                if self._patient_until:
                    await self._log_in()
                await self.round()
            except SandboxError as error:
                log.warning("The upkeep of credentials was interrupted: %s", error)
            except Exception:
                # One bad round must not end the next ones; the log has its traceback.
                log.exception("a round of the upkeep failed")
            await asyncio.sleep(_ROUND)

    async def _log_in(self) -> None:
        """At once: a wrapped secret id that waits for its first use is soon too old to be opened.

        A Vault that does not answer yet is asked again for a while; later whoever reads a secret asks anew.
        """
        until, self._patient_until = self._patient_until, 0.0
        first = asyncio.create_task(self._all.own.token())
        try:
            await asyncio.shield(first)
        except asyncio.CancelledError:
            # Opened once, it must be kept: an end that comes just now waits for that.
            await asyncio.gather(first, return_exceptions=True)
            raise
        except SandboxError as error:
            if not is_outage(error) or self._all.clock() > until:
                log.error("The broker cannot log in at Vault: %s", error)
                return
            if not self._told:
                log.warning("%s The broker waits for Vault, %.0f s at most.", error.message, _PATIENCE)
            self._told, self._patient_until = True, until

    async def round(self) -> None:
        """Who runs, what is due, what must end."""
        kept = await self._all.journal.all()
        try:
            await self._look(kept)
        except SandboxError as error:
            # What must end already ends without control; nothing new is known to run.
            log.warning("Control does not say which sandboxes run: %s", error)
        for times in (self._end_at, self._renew_at):
            for name in times.keys() - {item.id for item in kept}:
                del times[name]
        if self._all.client.outage is None:
            # First what may not be late.
            await self._renew(kept)
            await self._drain(await self._all.journal.all())

    async def _look(self, kept: Sequence[Kept]) -> None:
        """Ask control who runs; those that do not lose everything."""
        now = self._all.clock()
        known = {item.sandbox for item in kept if not item.ending} | self._blocks.ids
        known |= {held.reader.sandbox for held in self._all.all()}
        self._all.settle(known)
        if not known or now - self._asked_at < _ASK_CONTROL:
            return
        self._asked_at = now
        running = await self._control.running(sorted(known))
        self._confirmed = dict.fromkeys(running, now)
        gone = known - running
        self._blocks.forget(gone)
        # Those that an admin cut off hold nothing, also what was on its way then or before a crash.
        if ending := gone | self._blocks.ids:
            await self._mark(ending)

    async def _mark(self, sandboxes: Collection[str]) -> list[str]:
        """In the journal all that they hold is to end."""
        self._all.drop(sandboxes)
        kept = await self._all.journal.all()
        ids = [item.id for item in kept if item.sandbox in sandboxes and not item.ending]
        await self._all.journal.end(ids)
        return ids

    async def end(self, sandboxes: Collection[str]) -> Ended:
        """End all that they hold, now; they may be given new ones afterwards, unless they are blocked."""
        ids = await self._mark(sandboxes)
        self._all.let_again(sandboxes)
        return await self._ended(ids)

    async def end_secret(self, sandbox: str, secret: str) -> Ended:
        """End what a sandbox holds of one secret, also what an earlier run gave it."""
        kept = await self._all.journal.all()
        ids = [
            item.id for item in kept if (item.sandbox, item.secret) == (sandbox, secret) and not item.ending
        ]
        await self._all.journal.end(ids)
        return await self._ended(ids)

    async def end_held(self, held: Sequence[Held]) -> Ended:
        """End these, now."""
        ids = [item.id for item in held]
        await self._all.journal.end(ids)
        return await self._ended(ids)

    async def _ended(self, ids: Sequence[str]) -> Ended:
        self._end_at.clear()
        if self._all.client.outage is None:
            await self._drain(await self._all.journal.all())
        left = {item.id for item in await self._all.journal.all()}
        queued = sum(name in left for name in ids)
        return Ended(ended=len(ids) - queued, queued=queued)

    async def _drain(self, kept: Sequence[Kept]) -> None:
        now = self._all.clock()
        wall = datetime.now(timezone.utc)
        held = {item.id for item in self._all.all()}
        # By Vault's own times they are over; it is asked all the same, as this host's clock may have jumped.
        await self._all.journal.end(
            [item.id for item in kept if item.ends_at < wall and not item.ending and item.id not in held]
        )
        tokens = {item.id for item in kept if item.kind == "token" and item.ending}
        due = [
            item
            for item in kept
            if item.ending and item.id not in self._in_hand and self._end_at.get(item.id, 0.0) <= now
        ]
        # With a token its leases end, so they need no call of their own.
        wanted = [item for item in due if item.kind == "token" or item.accessor not in tokens]
        await asyncio.gather(*(self._end(item) for item in wanted[:_MOST_A_ROUND]))

    async def _end(self, item: Kept) -> None:
        self._in_hand.add(item.id)
        try:
            await self._end_in_hand(item)
        finally:
            self._in_hand.discard(item.id)

    async def _end_in_hand(self, item: Kept) -> None:
        async with self._gate:
            if self._all.client.outage is not None:
                return
            try:
                await self._all.end_one(item.id, item.kind)
            except SandboxError as error:
                log.warning("%s: %s is not ended yet: %s", item.sandbox, item.id, error)
                # While nobody answers the client itself waits between two tries.
                pause = _ROUND if is_outage(error) else _AFTER_REFUSAL
                self._end_at[item.id] = self._all.clock() + pause
                return
        await self._all.journal.forget([item.id])
        self._end_at.pop(item.id, None)
        await self._all.say(item.sandbox, CredentialEvent(verb="revoked", name=item.secret, accessor=item.id))

    async def _renew(self, kept: Sequence[Kept]) -> None:
        now = self._all.clock()
        held = self._all.all()
        due = [item for item in held if item.life.renew_at is not None and item.life.renew_at <= now]
        await asyncio.gather(*(self._renew_held(item) for item in due[:_MOST_A_ROUND]))
        mine = {item.id for item in held}
        older = [item for item in kept if not item.ending and item.id not in mine]
        await asyncio.gather(*(self._renew_kept(item) for item in older[:_MOST_A_ROUND]))

    async def _renew_held(self, held: Held) -> None:
        if not self._runs(held.reader.sandbox):
            return
        async with self._gate:
            try:
                await self._all.renew(held)
            except SandboxError as error:
                log.warning("%s: %s is not renewed: %s", held.reader.sandbox, held.id, error)

    async def _renew_kept(self, item: Kept) -> None:
        """Of an earlier run, or a token that was replaced and has leases: it lives as long as its sandbox."""
        now = self._all.clock()
        left = (item.ends_at - datetime.now(timezone.utc)).total_seconds()
        if not self._runs(item.sandbox) or self._renew_at.get(item.id, 0.0) > now:
            return
        async with self._gate:
            try:
                # No time of ours: the store then gives what its role says, and not less each time.
                seconds = await self._all.renew_by_id(item.kind, item.id)
            except SandboxError as error:
                log.warning("%s: %s is not renewed: %s", item.sandbox, item.id, error)
                self._renew_at[item.id] = now + max(left / 4, _ROUND)
                return
        self._renew_at[item.id] = now + seconds / 2
        await self._all.journal.extend([item.id], datetime.now(timezone.utc) + timedelta(seconds=seconds))

    def _runs(self, sandbox: str) -> bool:
        """Did control say so lately?"""
        said = self._confirmed.get(sandbox)
        return said is not None and self._all.clock() - said <= CONFIRMED_FOR
