"""What may an admin know about profiles? What each gives, costs and is for, and what one user would get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from ..errors import ConfigurationError
from ..kept_book import BookState
from ..rules.list_query import check_text
from ..rules.prices import hourly
from ..rules.profile_explain import explain, given_view, time_words, verdict_view
from ..rules.profiles import Profile, for_runtimes
from . import records
from .parts import Parts
from .views import timestamp

__all__ = ["ProfilesApi"]


class ProfilesApi:
    """Routes of admins, on control's own socket and from afar."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add_shared(self, app: web.Application, prefix: str) -> None:
        """Add them below a path."""
        app.add_routes(
            [
                web.get(f"{prefix}/api/profiles", self._all),
                web.get(f"{prefix}/api/profiles/explain", self._explain),
            ]
        )

    async def _all(self, request: web.Request) -> web.Response:
        state = await self._parts.terms.state()
        prices = (await self._parts.terms.book()).prices
        document = {
            "file": state.file,
            "digest": state.digest,
            "loaded_at": timestamp(state.loaded_at),
            "problem": state.problem,
            "currency": prices.currency,
            "profiles": [
                {**_about(profile), "price_per_hour": hourly(prices, profile)}
                for profile in self._profiles(state)
            ],
        }
        return web.json_response(document)

    async def _explain(self, request: web.Request) -> web.Response:
        user = check_text("user", request.query.get("user", ""))
        if not user:
            raise ConfigurationError(
                "user: nobody is named.", code="wire.invalid", field="user", remedy="Write user=NAME."
            )
        groups, known = await self._groups(user, request.query)
        state, now = await self._parts.terms.state(), self._parts.clock.now()
        found = [
            item
            for item in explain(self._profiles(state), user, groups)
            if request.query.get("profile", "") in ("", item.slug)
        ]
        times = (await self._parts.terms.book()).lifetime
        said = [time_words(times, now, item.gives, groups) if item.gives else "" for item in found]
        views = [verdict_view(item, time) for item, time in zip(found, said, strict=True)]
        for view in views:
            view["gives"] = view["gives"] and _names_only(view["gives"])
        return web.json_response({"user": user, "groups": groups, "groups_known": known, "profiles": views})

    async def _groups(self, user: str, query: Mapping[str, str]) -> tuple[list[str], bool]:
        """Those that were named, else the user's at their newest start; and is anything known of them?"""
        if "groups" in query:
            text = check_text("groups", query["groups"])
            return sorted({name.strip() for name in text.split(",") if name.strip()}), True
        found = await self._parts.store.run(lambda db: records.groups_of(db, user))
        return sorted(found or ()), found is not None

    def _profiles(self, state: BookState) -> Sequence[Profile]:
        profiles = state.book.profiles if state.book else ()
        return for_runtimes(profiles, self._parts.runtimes) if self._parts.runtimes else profiles


def _names_only(given: dict[str, Any]) -> dict[str, Any]:
    """Variables by name: what stands in them is not for everybody who may see sandboxes."""
    return {**given, "variables": sorted(given["variables"])}


def _about(profile: Profile) -> dict[str, Any]:
    return {
        "slug": profile.slug,
        "display_name": profile.display_name,
        "description": profile.description,
        "default": profile.default,
        "allowed_groups": None if profile.allowed_groups is None else list(profile.allowed_groups),
        "unavailable": profile.unavailable,
        "deprecated": profile.deprecated.message if profile.deprecated else "",
        "options": [option.slug for option in profile.options],
        **_names_only(given_view(profile)),
    }
