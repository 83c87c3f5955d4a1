"""What do the profiles say, by control's own reading of the file? The hub plugin is not simply believed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import ProfileRefusedError
from ..kept_book import BookState, KeptBook
from ..rules.admission import AdmissionRequest, Against, ProfileTerms, terms_of
from ..rules.audit import Entry
from ..rules.policy_settings import PolicySettings
from ..rules.profiles import Defaults, Profile, profile_digest
from ..rules.rulebook import Rulebook
from ..rules.spec_check import against, own_profile
from .audit import AuditLog

__all__ = ["OwnTerms", "OwnWord"]


@dataclass(frozen=True, kw_only=True)
class OwnWord:
    """Control's own reading about one request: terms (None: it has no file), and what is against the spec."""

    terms: ProfileTerms | None = None
    against: Against | None = None


class OwnTerms:
    """The rule book of `path`, read again when the file changes; the last good reading stays.

    Without a file control knows nothing and checks what the hub plugin sends. `defaults` is what a profile
    gets from the site where it is silent, None: specs are not compared. With `audit`, what comes into force
    and what is refused is written there before it counts.
    """

    def __init__(
        self,
        path: str,
        servers_per_user: int | None = None,
        environments: Collection[str] = (),
        defaults: Defaults | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._servers_per_user = servers_per_user
        self._defaults = defaults
        self._audit = audit
        self._kept = KeptBook(path, environments) if path else None
        self._state = BookState(file=path)
        self._lock = asyncio.Lock()

    @property
    def servers_per_user(self) -> int | None:
        """The site's number, for profiles that are silent about it."""
        return self._servers_per_user

    async def of(self, request: AdmissionRequest) -> OwnWord:
        """What the file says of a request; a profile that it does not have gets terms without a digest."""
        if self._kept is None:
            return OwnWord()
        slug = request.spec.profile
        profile = await self.profile(slug)
        if profile is None:
            return OwnWord(terms=ProfileTerms(slug=slug, digest=""))
        if profile_digest(profile) != request.spec.profile_digest:
            return OwnWord(terms=terms_of(profile, self._servers_per_user))
        found = against(profile, request, self._defaults) if self._defaults else None
        try:
            terms = terms_of(own_profile(profile, request), self._servers_per_user)
        except ProfileRefusedError as error:
            terms = terms_of(profile, self._servers_per_user)
            found = found or Against(code=error.code, message=error.message, remedy=error.remedy)
        return OwnWord(terms=terms, against=found)

    async def book(self) -> Rulebook:
        """All that the file says today; of a file that was never good: nothing, and policy allows nothing."""
        found = (await self.state()).book
        closed = self._kept is not None
        return found or Rulebook(profiles=(), policy=PolicySettings(closed=closed))

    async def profile(self, slug: str) -> Profile | None:
        """The profile of this name today."""
        return (await self.book()).profile(slug)

    async def state(self) -> BookState:
        """What is in force, after a look at the file. Raises ProgramError where no audit can be written."""
        if self._kept is None:
            return self._state
        async with self._lock:
            found = await asyncio.to_thread(self._kept.current)
            await self._write(self._state, found)
            self._state = found
        return found

    async def _write(self, before: BookState, now: BookState) -> None:
        if self._audit is None:
            return
        if now.digest != before.digest:
            detail = {"file": now.file, "before": before.digest}
            await self._audit.write(
                Entry(
                    actor="control",
                    action="profiles.loaded",
                    outcome="done",
                    policy_digest=now.digest,
                    detail=detail,
                )
            )
        if now.problem and (now.problem, now.refused) != (before.problem, before.refused):
            detail = {"file": now.file, "refused": now.refused, "problem": now.problem[:1000]}
            await self._audit.write(
                Entry(
                    actor="control",
                    action="profiles.refused",
                    outcome="failed",
                    code="profiles.invalid",
                    policy_digest=now.digest,
                    detail=detail,
                )
            )
