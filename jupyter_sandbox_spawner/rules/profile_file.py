"""What may an admin write in profiles.yaml, and what is wrong with what they wrote?

Every problem is reported at once, each as `FILE:LINE: FIELD: what is wrong. What to write.`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from ..models import Resources
from ..units import format_duration
from . import profile_fields as fields
from . import wish_fields as wishes
from .option_file import read_options
from .profile_nodes import Node, Problem, node_of, read_yaml
from .profile_options import Deprecation
from .profile_templates import GROUP, has_group, is_part, templates_of
from .profiles import Profile
from .reading import all_wrong
from .sandbox_keys import KEYS, SandboxReading, worked_in

__all__ = ["PROFILE_KEYS", "parse_profiles", "profiles_from_python", "read_profiles"]

PROFILE_KEYS = (
    "display_name",
    "slug",
    "description",
    "default",
    "allowed_groups",
    "servers_per_user",
    "at_most",
    "deprecated",
    "profile_options",
    "sandbox",
)
_NO_RESOURCES = Resources(cpu=1, memory=1 << 30)


def parse_profiles(
    text: str, file: str = "profiles.yaml", environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """Profiles of a YAML text. `environments`: names of user images that exist; empty: not checked.

    Raises ProfileError with every problem found.
    """
    try:
        root = read_yaml(text)
    except Problem as problem:
        raise all_wrong(file, [problem]) from None
    return _profiles(root, file, environments)


def profiles_from_python(
    items: Sequence[Any], file: str = "profiles", environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """Profiles of a Python list in the same schema; problems name the field, there are no lines."""
    return _profiles(node_of(items), file, environments)


def _profiles(root: Node, file: str, environments: Collection[str]) -> tuple[Profile, ...]:
    problems: list[Problem] = []
    found = read_profiles(root, problems, environments)
    if problems:
        raise all_wrong(file, problems)
    return found


def read_profiles(
    root: Node, problems: list[Problem], environments: Collection[str] = ()
) -> tuple[Profile, ...]:
    """The profiles of a list; what is wrong is added to `problems`."""
    reader = _Reader(environments)
    if not root.items:
        reader.add(root, "file", "has no profiles. Write a list, each item with a slug.")
    found = [(item, reader.profile(item)) for item in root.items or ()]
    if root.items:
        reader.check_whole(root, [(item, profile) for item, profile in found if profile is not None])
    problems += reader.problems
    return tuple(profile for _, profile in found if profile is not None)


class _Reader(SandboxReading):
    """Turns nodes into profiles."""

    def profile(self, node: Node) -> Profile | None:
        """One profile, or None where it is so wrong that nothing can be said about it."""
        keys = self.keys(node, PROFILE_KEYS)
        if keys is None:
            return None
        slug = self.text(keys, "slug", node, fields.slug, required=True)
        name = self.text(keys, "display_name", node, fields.line_of_text, required=True)
        profile = Profile(
            slug=slug or "",
            display_name=name or "",
            description=self.text(keys, "description", node, fields.paragraph) or "",
            default=self.field(keys, "default", fields.boolean) or False,
            allowed_groups=self.field(keys, "allowed_groups", fields.groups),
            servers_per_user=self.field(keys, "servers_per_user", fields.servers),
            resources=_NO_RESOURCES,
            at_most=self.field(keys, "at_most", wishes.caps),
            deprecated=self._deprecated(keys.get("deprecated")),
        )
        complete, profile = self._sandbox(keys.get("sandbox"), node, profile)
        if "profile_options" in keys:
            options = read_options(keys["profile_options"], profile, self, _wrong_whole)
            profile = worked_in(profile, {"options": options})
        return profile if complete and slug is not None and name is not None else None

    def _sandbox(self, node: Node | None, parent: Node, profile: Profile) -> tuple[bool, Profile]:
        """The profile with its sandbox worked in, and whether that has all that is needed."""
        if node is None:
            self.add(parent, f"{parent.field}.sandbox", "is missing. Write at least cpu and memory.")
            return False, profile
        before = len(self.problems)
        inner = self.keys(node, KEYS)
        if inner is None:
            return False, profile
        for name in ("cpu", "memory"):
            if name not in inner:
                remedy = "Write cpu: 2." if name == "cpu" else 'Write memory: "4G".'
                self.add(node, f"{node.field}.{name}", f"is missing. {remedy}")
        values = self.values(inner)
        found = worked_in(profile, values)
        wrong = _wrong_whole(found) if len(self.problems) == before else None
        if wrong:
            self.add(inner.get(wrong[0], node), f"{node.field}.{wrong[0]}", wrong[1])
        return {"cpu", "memory"} <= values.keys(), found

    def _deprecated(self, node: Node | None) -> Deprecation | None:
        keys = self.keys(node, ("message", "use")) if node is not None else None
        if node is None or keys is None:
            return None
        message = self.text(keys, "message", node, fields.paragraph, required=True)
        return Deprecation(message=message or "", use=self.text(keys, "use", node, fields.slug) or "")

    def check_whole(self, root: Node, found: Sequence[tuple[Node, Profile]]) -> None:
        """What holds only between profiles: unique slugs, exactly one default, redirects that lead on."""
        first: dict[str, int] = {}
        for node, profile in found:
            if profile.slug in first:
                place = f" (first in line {first[profile.slug]})" if node.line else ""
                self.add(
                    _child(node, "slug"),
                    f"{node.field}.slug",
                    f"{profile.slug!r} is used twice{place}. Rename one.",
                )
            first.setdefault(profile.slug, _child(node, "slug").line)
        defaults = [(node, profile) for node, profile in found if profile.default]
        for node, _ in defaults[1:]:
            self.add(
                _child(node, "default"), f"{node.field}.default", "is true for two profiles. Keep it for one."
            )
        for node, profile in defaults:
            if profile.deprecated:
                self.add(
                    _child(node, "deprecated"),
                    f"{node.field}.deprecated",
                    "the default is for those who choose nothing. Make another profile the default first.",
                )
        if not defaults and not self.problems:
            self.add(root, "default", "no profile is the default. Write default: true for one of them.")
        self._check_redirects(found)

    def _check_redirects(self, found: Sequence[tuple[Node, Profile]]) -> None:
        following = {profile.slug: profile.deprecated.use for _, profile in found if profile.deprecated}
        known = [profile.slug for _, profile in found]
        for node, profile in found:
            use = profile.deprecated.use if profile.deprecated else ""
            place = _child(_child(node, "deprecated"), "use")
            if use and use not in known:
                names = ", ".join(known)
                self.add(place, place.field, f"there is no profile {use!r}. Write one of: {names}.")
            seen = [profile.slug]
            while use and use not in seen:
                seen.append(use)
                use = following.get(use, "")
            if use:
                way = " -> ".join([*seen, use])
                self.add(
                    place, place.field, f"it leads back to itself: {way}. Name one that is not deprecated."
                )


def _wrong_whole(profile: Profile) -> tuple[str, str] | None:
    """Which key of a sandbox does not go with the rest of the profile, and why; None where all do."""
    if profile.extend and profile.ttl is None:
        return "extend", "there is no ttl to extend. Write a ttl, or remove extend."
    if profile.ttl and profile.idle_timeout and profile.idle_timeout > profile.ttl:
        above = f"{format_duration(profile.idle_timeout)} is above the ttl ({format_duration(profile.ttl)})"
        return "idle_timeout", f"{above} and would never end a server. Write less, or leave it out."
    if not profile.allowed_groups and has_group(templates_of(profile)):
        where = "datasets" if has_group(profile.datasets) else "variables"
        return where, f"{GROUP} is the group by which the profile is allowed. Write allowed_groups."
    if has_group(templates_of(profile)):
        for group in profile.allowed_groups or ():
            if not is_part(group):
                return "variables", f"{group!r} cannot stand for {GROUP}. Rename the group, or leave it out."
    return None


def _child(node: Node, name: str) -> Node:
    return (node.keys or {}).get(name, node)
