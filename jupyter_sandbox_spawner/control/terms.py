"""What do the profiles say, by control's own reading of the file? The hub plugin is not simply believed."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from ..errors import ConfigurationError
from ..rules.admission import AdmissionRequest, ProfileTerms, terms_of
from ..rules.profiles import Profile, profile_digest
from ..rules.rulebook import Rulebook
from ..rules.rulebook_file import parse_rulebook

__all__ = ["OwnTerms"]

log = logging.getLogger("jupyter_sandbox_spawner.control")


class OwnTerms:
    """Profiles of `path`; read at first use and again when a digest turns up that is not among them.

    Without a file (profiles given in Python) control knows none and checks what the hub plugin sends.
    """

    def __init__(self, path: str, servers_per_user: int | None = None) -> None:
        self._servers_per_user = servers_per_user
        self._path = Path(path) if path else None
        self._book: Rulebook | None = None

    @property
    def servers_per_user(self) -> int | None:
        """The site's number, for profiles that are silent about it."""
        return self._servers_per_user

    async def of(self, request: AdmissionRequest) -> ProfileTerms | None:
        """Terms of the asked profile; None where control has no file; an unknown one has no digest."""
        if self._path is None or not self._path.is_file():
            return None
        slug, wanted = request.spec.profile, request.spec.profile_digest
        profile = await self.profile(slug)
        if profile is None or profile_digest(profile) != wanted:
            self._book = None  # the admin may have edited the file and restarted the hub only
            profile = await self.profile(slug)
        if profile is None:
            return ProfileTerms(slug=slug, digest="")
        return terms_of(profile, self._servers_per_user)

    async def book(self) -> Rulebook:
        """All that the file says today; an empty rule book without a file."""
        if self._book is None:
            self._book = await asyncio.to_thread(self._read)
        return self._book

    async def profile(self, slug: str) -> Profile | None:
        """The profile of this name today."""
        return (await self.book()).profile(slug)

    def _read(self) -> Rulebook:
        if self._path is None or not self._path.is_file():
            return Rulebook(profiles=())
        try:
            return parse_rulebook(self._path.read_text(), str(self._path))
        except (ConfigurationError, OSError, UnicodeDecodeError) as error:
            # The hub refuses to start on it and says where; nothing new is admitted meanwhile.
            log.error("Profiles cannot be read: %s", error)
            return Rulebook(profiles=())
