"""Which profile does a user get, and what does it allow? Profiles are frozen; a choice is decided here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from ..gpus import GpuWish
from ..models import BrowserPolicy, EgressPolicy, IsolationLevel, Mount, Resources, SandboxSpec, UserPlace
from ..names import GVISOR
from .grants import Grant
from .profile_options import Deprecation, ProfileOption
from .quotas import Caps

__all__ = [
    "HOME",
    "Defaults",
    "ExtensionOffer",
    "Profile",
    "door_uid",
    "for_runtimes",
    "profile_digest",
    "reason_against",
    "runtime_refusal",
    "to_spec",
]

HOME = "/home/jovyan"
_NOT_WRITTEN = frozenset({"unavailable", "digest"})


@dataclass(frozen=True, kw_only=True)
class ExtensionOffer:
    """More time on request, in seconds: `by` from that moment, `at_most` past the first end in all, and no
    more than `times` extensions (None: any number)."""

    by: int
    at_most: int
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A named choice that an admin offers.

    `allowed_groups`: None means everyone, an empty tuple nobody. `ttl` and `idle_timeout` are seconds;
    None means no such limit. `extend` None: the end stays. `servers_per_user` is how many servers a user may
    have when this one starts, None the site's number. `environment` names a user image of the site, "" its
    default one. `runtime` "" means the site's. `variables` are handed to the server; they are not secret.
    `secrets` is what its servers may read. `gpu` None: no GPU. `datasets` are names of the catalogue, `id`
    for the newest version or `id@version`. `at_most` caps all its servers of all users together. `options`
    are the user's to choose; what was chosen is worked in before a spec is made, and `options` is empty then
    and `digest` that of the profile as it was written (profile_choices.py).
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
    digest: str = ""

    @cached_property
    def own_digest(self) -> str:
        """See `profile_digest`; reckoned once, since a profile never changes and every start asks."""
        said = {name: value for name, value in asdict(self).items() if name not in _NOT_WRITTEN}
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a profile gets from its site where it is silent. `carrier_uid`: see Site.carrier_uid."""

    environment: str
    runtime: str = "runc"
    carrier_uid: int | None = None


def reason_against(profile: Profile, groups: Collection[str]) -> str:
    """Why a member of `groups` may not take the profile, in a sentence; "" if they may."""
    if profile.unavailable:
        return profile.unavailable
    if profile.deprecated and not profile.deprecated.use:
        return f"It is not offered any more: {profile.deprecated.message}"
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


def door_uid(runtime: str, place: UserPlace, carrier: int | None = None) -> int | None:
    """The host uid by which a sandbox comes to its doors, where it is not its own (None).

    From another machine that is `carrier`, whatever runs there. gVisor's file server connects for it, as
    the uid that stands for 0 inside every sandbox.
    """
    if carrier is not None:
        return carrier
    return place.root_uid if runtime == GVISOR else None


def profile_digest(profile: Profile) -> str:
    """SHA-256 (hex) of the profile as canonical JSON: what exactly did the policy say at that start?"""
    return profile.digest or profile.own_digest


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
        door_uid=door_uid(runtime, place, defaults.carrier_uid),
        isolation=profile.isolation,
        ttl=profile.ttl,
        idle_timeout=profile.idle_timeout,
        egress=profile.egress,
        browser=profile.browser,
        environment=dict(profile.variables),
    )
