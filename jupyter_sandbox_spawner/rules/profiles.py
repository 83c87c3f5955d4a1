"""Which profile does a user get, and what does it allow? Profiles are frozen; a choice is decided here."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from ..errors import ProfileRefusedError
from ..gpus import GpuWish
from ..models import BrowserPolicy, EgressPolicy, IsolationLevel, Mount, Resources, SandboxSpec, UserPlace
from ..names import GVISOR
from .grants import Grant
from .profile_options import Deprecation, ProfileOption
from .quotas import Caps

__all__ = [
    "HOME",
    "Choice",
    "Defaults",
    "ExtensionOffer",
    "Profile",
    "choose",
    "door_uid",
    "for_runtimes",
    "profile_digest",
    "reason_against",
    "requested_profile",
    "runtime_refusal",
    "to_spec",
]

HOME = "/home/jovyan"
_OPTIONS = frozenset({"profile"})


@dataclass(frozen=True, kw_only=True)
class ExtensionOffer:
    """More time on request, in seconds: `by` from that moment, `at_most` past the first end in all."""

    by: int
    at_most: int


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A named choice that an admin offers.

    `allowed_groups`: None means everyone, an empty tuple nobody. `ttl` and `idle_timeout` are seconds;
    None means no such limit. `extend` None: the end stays. `servers_per_user` is how many servers a user may
    have when this one starts, None the site's number. `environment` names a user image of the site, "" its
    default one. `runtime` "" means the site's. `variables` are handed to the server; they are not secret.
    `secrets` is what its servers may read. `gpu` None: no GPU. `datasets` are names of the catalogue, `id`
    for the newest version or `id@version`. `at_most` caps all its servers of all users together. `options`
    are the user's to choose; what was chosen is worked in before a spec is made, and `options` is empty then.
    """

    slug: str
    display_name: str
    resources: Resources
    description: str = ""
    default: bool = False
    allowed_groups: tuple[str, ...] | None = None
    ttl: int | None = None
    idle_timeout: int | None = None
    extend: ExtensionOffer | None = None
    servers_per_user: int | None = None
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    browser: BrowserPolicy = field(default_factory=BrowserPolicy)
    isolation: IsolationLevel | None = None
    runtime: str = ""
    environment: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Grant, ...] = ()
    gpu: GpuWish | None = None
    datasets: tuple[str, ...] = ()
    at_most: Caps | None = None
    options: tuple[ProfileOption, ...] = ()
    deprecated: Deprecation | None = None
    unavailable: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The profile a server gets; `notice` is a sentence for the user where it is not the one they saved."""

    profile: Profile
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a profile gets from its site where it is silent."""

    environment: str
    runtime: str = "runc"


def requested_profile(user_options: object) -> str | None:
    """The slug that raw `user_options` ask for, or None where they ask for nothing.

    Raises ProfileRefusedError (status 400) for anything but an object with the one key `profile`.
    """
    if user_options is None:
        return None
    if not isinstance(user_options, Mapping):
        raise _bad_options("options.invalid", "The options must be an object.", "")
    unknown = sorted(str(key)[:80] for key in user_options if key not in _OPTIONS)
    if unknown:
        raise _bad_options("options.unknown", f"The option {unknown[0]!r} does not exist.", unknown[0])
    slug = user_options.get("profile")
    if slug is not None and not isinstance(slug, str):
        raise _bad_options("options.invalid", "The option 'profile' must be one word.", "profile")
    return slug or None


def reason_against(profile: Profile, groups: Collection[str]) -> str:
    """Why a member of `groups` may not take the profile, in a sentence; "" if they may."""
    if profile.unavailable:
        return profile.unavailable
    allowed = profile.allowed_groups
    if allowed is None or set(allowed) & set(groups):
        return ""
    if not allowed:
        return "It is closed at the moment; ask your admin."
    listed = " or ".join(allowed)
    return f"It is for group {listed}; ask a member of that group or your admin."


def for_runtimes(profiles: Sequence[Profile], runtimes: Sequence[str]) -> tuple[Profile, ...]:
    """The profiles as this site has them: one that names another runtime is offered to nobody, and says why.

    A probe proves each of the site's runtimes; a sandbox under another would start without proof.
    """
    return tuple(
        profile
        if profile.runtime in ("", *runtimes)
        else replace(profile, unavailable=runtime_refusal(profile.runtime, runtimes))
        for profile in profiles
    )


def runtime_refusal(wanted: str, runtimes: Sequence[str]) -> str:
    """Why a sandbox under `wanted` is not started on a site that has others, and the way out."""
    return (
        f"It needs the runtime {wanted}, and this site runs {' and '.join(runtimes)}."
        f' Your admin can install it and add it: setup_hub(c, further_runtimes=[..., "{wanted}"]).'
    )


def door_uid(runtime: str, place: UserPlace) -> int | None:
    """The host uid by which a sandbox comes to its doors, where it is not its own (None).

    gVisor's file server connects for it, as the uid that stands for 0 inside every sandbox.
    """
    return place.root_uid if runtime == GVISOR else None


def choose(
    profiles: Sequence[Profile], requested: str | None, saved: str | None, groups: Collection[str]
) -> Choice:
    """Decide which profile a server gets.

    `requested` is what somebody asked for now and is refused where it may not be had (status 403, or 400
    where it does not exist); `saved` is an earlier choice, which gives way to the default with a notice.
    """
    if requested is not None:
        return Choice(profile=_explicit(profiles, requested, groups))
    fallback = _default(profiles, groups)
    if saved is None or saved == fallback.slug:
        return Choice(profile=fallback)
    known = {profile.slug: profile for profile in profiles}.get(saved)
    why = "It does not exist any more." if known is None else reason_against(known, groups)
    if known is not None and not why:
        return Choice(profile=known)
    name = known.display_name if known else saved[:80]
    return Choice(
        profile=fallback,
        notice=f"Your last profile {name!r} is not available. {why} You get {fallback.display_name!r}.",
    )


def _explicit(profiles: Sequence[Profile], requested: str, groups: Collection[str]) -> Profile:
    for profile in profiles:
        if profile.slug == requested:
            why = reason_against(profile, groups)
            if not why:
                return profile
            raise ProfileRefusedError(
                f"You may not take the profile {profile.display_name!r}. {why}",
                field="profile",
                remedy=_alternatives(profiles, groups),
            )
    close = difflib.get_close_matches(requested[:80], [profile.slug for profile in profiles], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else _alternatives(profiles, groups)
    raise ProfileRefusedError(
        f"There is no profile {requested[:80]!r}.",
        code="profile.unknown",
        field="profile",
        remedy=hint,
        status=400,
    )


def _default(profiles: Sequence[Profile], groups: Collection[str]) -> Profile:
    ordered = sorted(profiles, key=lambda profile: not profile.default)
    for profile in ordered:
        if not reason_against(profile, groups):
            return profile
    raise ProfileRefusedError(
        "There is no profile that you may take.",
        code="profile.none",
        field="profile",
        remedy="Ask your admin to add you to a group.",
    )


def _alternatives(profiles: Sequence[Profile], groups: Collection[str]) -> str:
    open_to_user = [profile.slug for profile in profiles if not reason_against(profile, groups)]
    return f"You may take: {', '.join(open_to_user)}." if open_to_user else ""


def _bad_options(code: str, message: str, name: str) -> ProfileRefusedError:
    return ProfileRefusedError(
        message,
        code=code,
        field=name,
        remedy='Send {"profile": "SLUG"} or nothing; the form does it for you.',
        status=400,
    )


def profile_digest(profile: Profile) -> str:
    """SHA-256 (hex) of the profile as canonical JSON: what exactly did the policy say at that start?"""
    said = {name: value for name, value in asdict(profile).items() if name != "unavailable"}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def to_spec(
    profile: Profile, sandbox_id: str, place: UserPlace, server: str, defaults: Defaults
) -> SandboxSpec:
    """The frozen spec of one sandbox; nothing after this reads the user's options."""
    runtime = profile.runtime or defaults.runtime
    return SandboxSpec(
        id=sandbox_id,
        user=place.user,
        server=server,
        profile=profile.slug,
        profile_digest=profile_digest(profile),
        environment_name=profile.environment or defaults.environment,
        host_uid=place.host_uid,
        resources=profile.resources,
        mounts=(Mount(kind="home", source=place.home, target=HOME, read_only=False),),
        runtime=runtime,
        door_uid=door_uid(runtime, place),
        isolation=profile.isolation,
        ttl=profile.ttl,
        idle_timeout=profile.idle_timeout,
        egress=profile.egress,
        browser=profile.browser,
        environment=dict(profile.variables),
    )
