"""What is on the form of this server now? Profiles, what is free, the last choice, and why it ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from ..errors import ProfileRefusedError
from ..rules.choosing import decide
from ..rules.profiles import Profile
from ..settings import Site
from .capacity import current_offers
from .catalogue import Source, alarm
from .form import Heading, profile_form
from .form_fields import fields_of
from .notes import last_ending

__all__ = ["Chooser", "form_of"]


class Chooser(Protocol):
    """What is asked of a spawner here."""

    user: Any
    name: str
    orm_spawner: Any
    profiles: Source

    @property
    def site(self) -> Site:
        """The site."""

    @property
    def offered(self) -> Sequence[Profile]:
        """The profiles of now."""

    @property
    def groups(self) -> Collection[str]:
        """The user's groups of now."""


async def form_of(spawner: Chooser) -> str:
    """The form's HTML, everything escaped, with the saved choice or the default checked."""
    offered, groups, user = spawner.offered, spawner.groups, spawner.user
    ending = await last_ending(spawner.site, user.name, spawner.name)
    free = await current_offers(spawner.site, user.name, groups, spawner.name)
    source = spawner.profiles or spawner.site.profiles
    told = alarm(source, spawner.site.environments) if user.admin else ""
    saved = spawner.orm_spawner.user_options
    last = dict(fields_of(saved)).get("profile", "")
    try:
        current = decide(offered, saved, False, user.name, groups)
    except ProfileRefusedError as error:
        heading = Heading(notice=str(error), ending=ending, alarm=told, last=last)
        return profile_form(offered, groups, None, heading, free)
    heading = Heading(notice=current.notice, ending=ending, alarm=told, last=last)
    return profile_form(offered, groups, current, heading, free)
