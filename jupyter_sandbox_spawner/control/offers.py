"""What may a user have now, of every profile? One look at the database, which changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select

from ..errors import ProfileRefusedError
from ..gpus import GpuInventory, GpuWish
from ..rules.closing import closed_now
from ..rules.lifetimes import Subject
from ..rules.offers import Offer
from ..rules.profile_choices import may_choose, resolve
from ..rules.profiles import Profile, reason_against
from ..rules.queue import Standing, Turn, Waiting, givable, matches, settle, still_waiting
from ..rules.queue_words import Pool, free_words, none_refusal, place_words, too_many_refusal
from ..rules.quotas import Asked, Caps, Refusal, Share, shares_of
from ..rules.rulebook import Rulebook
from . import waiting
from .offer_prices import with_prices
from .records import OPEN
from .sums import Sums
from .tables import sandboxes
from .tables_ledger import tickets

__all__ = ["Looking", "may_ask_for_gpus", "offers"]

_ANYBODY = 0  # the number of a ticket that nobody has
_NOTHING = Asked(cpu=0, memory=0, gpus=0)
_AMOUNTS = {"cpu", "memory", "gpu"}


@dataclass(frozen=True, kw_only=True)
class Looking:
    """Who looks, for which server. `gpus` None: the launcher does not answer, so nothing is said of GPUs."""

    user: str
    server: str
    groups: tuple[str, ...]
    book: Rulebook
    gpus: GpuInventory | None
    servers_per_user: int | None = None


def may_ask_for_gpus(profile: Profile) -> bool:
    """Does it ask for a GPU, or is there a choice inside it that does?"""
    choices = (choice for option in profile.options for choice in option.choices)
    return profile.gpu is not None or any("gpu" in choice.overrides for choice in choices)


def offers(connection: Connection, now: datetime, looking: Looking) -> list[Offer]:
    """One offer a profile, in the file's order."""
    mine = (sandboxes.c.user == looking.user, sandboxes.c.status.in_(OPEN))
    query = select(sandboxes.c.id).where(*mine, sandboxes.c.server == looking.server)
    leaving = tuple(connection.execute(query).scalars())
    sums = Sums(connection, now, leaving)
    sums.load("user", [looking.user])
    sums.load("group", [quota.group for quota in looking.book.quotas.groups if quota.group in looking.groups])
    sums.load("profile", [profile.slug for profile in looking.book.profiles if profile.at_most])
    found = [(profile, _by_default(profile, looking)) for profile in looking.book.profiles]
    line = _Line(connection, now, looking, leaving, any(first.gpu for _, first in found))
    return [
        with_prices(
            _while_closed(first, looking, now) or _offer(profile, first, looking, sums, line),
            profile,
            first,
            looking.book.prices,
            looking.groups,
        )
        for profile, first in found
    ]


def _while_closed(profile: Profile, looking: Looking, now: datetime) -> Offer | None:
    """In hours in which it may not start: not now, whatever is chosen inside it; None where it is open."""
    if reason_against(profile, looking.groups):
        return None
    gpus = profile.gpu.count if profile.gpu is not None else 0
    subject = Subject(profile=profile.slug, groups=looking.groups, gpus=gpus)
    refusal = closed_now(now, looking.book.lifetime, subject)
    return None if refusal is None else _refused(profile, refusal)


def _by_default(profile: Profile, looking: Looking) -> Profile:
    """The profile as this user gets it who chooses nothing inside it."""
    if not profile.options:
        return profile
    try:
        return resolve(profile, {}, looking.user, looking.groups)
    except ProfileRefusedError:
        return profile  # another choice may do, and a start says why this one does not


def _asks_otherwise(profile: Profile, groups: Sequence[str]) -> bool:
    """May this user choose inside the profile how much of something is asked for?"""
    for option in profile.options:
        choices = may_choose(option, groups)
        ways = len(choices) + (option.free_text is not None)
        if ways > 1 and any(_AMOUNTS & set(choice.overrides) for choice in choices):
            return True
    return False


def _offer(profile: Profile, first: Profile, looking: Looking, sums: Sums, line: _Line) -> Offer:
    """`first` is the profile with its default choices."""
    reason = reason_against(profile, looking.groups)
    if reason:
        return Offer(slug=profile.slug, allowed=False, code="profile.not_allowed", reason=reason)
    shares = shares_of(
        looking.book.quotas, looking.user, looking.groups, profile.slug, profile.at_most
    ) + _servers(profile, looking)
    offer = _of_first(first, shares, sums, line)
    if offer.allowed or not _asks_otherwise(profile, looking.groups) or sums.refusal(shares, _NOTHING):
        return offer
    # Another choice may fit, so the card must stay open for it.
    return replace(offer, allowed=True, reason="", free=f"With its default choices: {offer.reason}")


def _of_first(profile: Profile, shares: Sequence[Share], sums: Sums, line: _Line) -> Offer:
    wish = profile.gpu
    asked = Asked(
        cpu=profile.resources.cpu, memory=profile.resources.memory, gpus=wish.count if wish is not None else 0
    )
    refusal = sums.refusal(shares, asked)
    if refusal is not None:
        return _refused(profile, refusal)
    offer = Offer(slug=profile.slug, allowed=True)
    return offer if wish is None else line.offer(offer, wish, profile.ttl)


def _refused(profile: Profile, refusal: Refusal) -> Offer:
    reason = f"{refusal.message} {refusal.remedy}".strip()
    return Offer(slug=profile.slug, allowed=False, code=refusal.code, reason=reason, eta=refusal.retry_at)


def _servers(profile: Profile, looking: Looking) -> tuple[Share, ...]:
    cap = profile.servers_per_user or looking.servers_per_user
    return (Share(scope="user", name=looking.user, caps=Caps(servers=cap)),) if cap else ()


class _Line:
    """The queue as this user sees it; each wish is looked at once."""

    def __init__(
        self, connection: Connection, now: datetime, looking: Looking, leaving: Sequence[str], wanted: bool
    ) -> None:
        self._now = now
        self._gpus = looking.gpus
        self._seen: dict[tuple[GpuWish, int | None], Offer] = {}
        if self._gpus is None or not wanted:
            return
        self._taken = waiting.taken_now(connection)
        self._own = waiting.devices_of(connection, leaving)
        self._waiting = [item for item in waiting.waiting_now(connection) if still_waiting(item, now)]
        query = select(tickets.c.id).where(tickets.c.user == looking.user, tickets.c.server == looking.server)
        self._mine = connection.execute(query).scalar_one_or_none()

    def offer(self, offer: Offer, wish: GpuWish, ttl: int | None) -> Offer:
        """The offer with what is said of its GPUs."""
        if self._gpus is None:
            return offer
        key = (wish, ttl)
        if key not in self._seen:
            self._seen[key] = self._look(self._gpus, wish, ttl)
        return replace(self._seen[key], slug=offer.slug)

    def _look(self, gpus: GpuInventory, wish: GpuWish, ttl: int | None) -> Offer:
        pool = givable(gpus.devices, self._taken)
        fitting = {device.id for device in pool if matches(device, wish.kind)}
        if len(fitting) < wish.count:
            refusal = too_many_refusal(wish, len(fitting)) if fitting else none_refusal(wish, pool)
            return Offer(
                slug="", allowed=False, code=refusal.code, reason=f"{refusal.message} {refusal.remedy}"
            )
        queue, turn, has_ticket = self._settle(gpus, wish, ttl)
        taken = {item.device for item in self._taken} - self._own
        total = Pool(total=len(fitting), taken=len(taken & fitting))
        left = sum(device.id in fitting for device in queue.free) + len(turn.devices)
        position = turn.position if has_ticket else None
        if turn.due:
            return Offer(slug="", allowed=True, free=free_words(self._now, total, left), position=position)
        return Offer(
            slug="",
            # Asking is what gives a place in the queue.
            allowed=True,
            code="gpu.all_taken",
            free=f"{free_words(self._now, total, left, turn.eta)}; {place_words(turn, has_ticket)}",
            eta=turn.eta,
            position=position,
        )

    def _settle(self, gpus: GpuInventory, wish: GpuWish, ttl: int | None) -> tuple[Standing, Turn, bool]:
        line = [replace(item, own=self._own) if item.id == self._mine else item for item in self._waiting]
        kept = next((item for item in line if item.id == self._mine), None)
        has_ticket = kept is not None and (kept.kind, kept.count) == (wish.kind, wish.count)
        number = kept.id if kept is not None and has_ticket else _ANYBODY
        if not has_ticket:
            # With another wish the old ticket would be given up.
            line = [item for item in line if item.id != self._mine]
            line.append(
                Waiting(
                    id=_ANYBODY,
                    kind=wish.kind,
                    count=wish.count,
                    ttl=ttl,
                    own=self._own,
                    kept_until=datetime.max.replace(tzinfo=self._now.tzinfo),
                )
            )
        queue = settle(self._now, gpus.devices, self._taken, line)
        return queue, queue.turn_of(number), has_ticket
