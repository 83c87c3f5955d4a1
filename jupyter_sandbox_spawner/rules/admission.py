"""May this user have this sandbox now?

Law: the hub plugin resolved the profile; here the group, the number of servers and the identity are
checked again, by what control knows, inside the transaction that records the answer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..gpus import GpuWish
from ..models import SandboxSpec
from ..names import is_sandbox_id
from ..units import format_duration
from .catalogue import DatasetDecision
from .grants import Grant
from .profiles import Profile, profile_digest
from .queue import Ticket
from .quotas import Caps, Refusal

__all__ = [
    "Admission",
    "AdmissionRequest",
    "Against",
    "KnownSandbox",
    "ProfileTerms",
    "decide",
    "denied_by",
    "terms_of",
]


@dataclass(frozen=True, kw_only=True)
class ProfileTerms:
    """What control must know of a profile.

    `allowed_groups`: None = everyone, empty = nobody. `servers_per_user`: None = no cap of this profile's.
    `extend_by`, `extend_at_most`: seconds, None = no extension; `extend_times`: None = any number.
    `digest` is that of the profile.
    `secrets`: what its servers may read. `gpu` None: no GPU; `datasets`: what is mounted; `at_most`: caps of
    all its servers together.
    """

    slug: str
    digest: str
    allowed_groups: tuple[str, ...] | None = None
    servers_per_user: int | None = None
    extend_by: int | None = None
    extend_at_most: int | None = None
    extend_times: int | None = None
    secrets: tuple[Grant, ...] = ()
    gpu: GpuWish | None = None
    datasets: tuple[str, ...] = ()
    at_most: Caps | None = None


@dataclass(frozen=True, kw_only=True)
class AdmissionRequest:
    """What the hub plugin asks: a spec, the user's groups as the hub knows them, the profile's terms.

    `options` is what the user chose inside the profile, by option; control works it in by itself.
    """

    spec: SandboxSpec
    groups: tuple[str, ...] = ()
    terms: ProfileTerms
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class KnownSandbox:
    """A record of control's database, as far as admission needs it."""

    id: str
    user: str
    server: str
    is_open: bool
    deadline: datetime | None


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Control's answer. `supersedes` are older sandboxes of the same server that are closed by it.

    `repeated`: the same request was answered before (a retry), nothing new was recorded. `spec` is what may
    be started: the asked one with devices and datasets, and narrowed by what it mounts. `ticket` comes with
    a denial: the place in the queue. `datasets`: what became of each one that the profile names.
    """

    admitted: bool
    now: datetime
    code: str = ""
    message: str = ""
    remedy: str = ""
    deadline: datetime | None = None
    notices: tuple[str, ...] = ()
    retry_at: datetime | None = None
    supersedes: tuple[str, ...] = ()
    repeated: bool = False
    spec: SandboxSpec | None = None
    ticket: Ticket | None = None
    datasets: tuple[DatasetDecision, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Against:
    """What control found against a spec by its own reading of the profile, in words."""

    code: str
    message: str
    remedy: str = ""


def terms_of(profile: Profile, servers_per_user: int | None) -> ProfileTerms:
    """The terms of a profile; `servers_per_user` is the site's, for profiles that are silent about it."""
    offer = profile.extend
    return ProfileTerms(
        slug=profile.slug,
        digest=profile_digest(profile),
        allowed_groups=profile.allowed_groups,
        servers_per_user=profile.servers_per_user or servers_per_user,
        extend_by=offer.by if offer else None,
        extend_at_most=offer.at_most if offer else None,
        extend_times=offer.times if offer else None,
        secrets=profile.secrets,
        gpu=profile.gpu,
        datasets=profile.datasets,
        at_most=profile.at_most,
    )


def decide(
    now: datetime,
    request: AdmissionRequest,
    known: Sequence[KnownSandbox],
    own_terms: ProfileTerms | None = None,
    against: Against | None = None,
) -> Admission:
    """`known`: the user's open sandboxes and any with the asked id; `own_terms`: control's own reading.

    `against`: what that reading has against the spec; it counts where both read the same profile.
    """
    spec, terms = request.spec, own_terms or request.terms
    refusal = _bad_identity(now, request) or _changed_profile(now, request, terms)
    if refusal is None and against is not None:
        refusal = _denied(now, against.code, against.message, against.remedy)
    if refusal:
        return refusal
    for old in known:
        if old.id == spec.id:
            return _answer_again(now, spec, old)
    refusal = _wrong_group(now, request, terms) or _too_many(now, spec, known, terms)
    if refusal:
        return refusal
    deadline = None if spec.ttl is None else now + timedelta(seconds=spec.ttl)
    older = tuple(old.id for old in known if old.is_open and old.server == spec.server)
    return Admission(
        admitted=True, now=now, deadline=deadline, supersedes=older, notices=_notices(spec, terms)
    )


def _bad_identity(now: datetime, request: AdmissionRequest) -> Admission | None:
    spec = request.spec
    if not is_sandbox_id(spec.id):
        return _denied(now, "admission.invalid_id", f"{spec.id!r} is not the id of a sandbox.")
    names = spec.user + spec.server
    # Control characters and halves of a pair: a database cannot keep them, a log is misread by them.
    if not spec.user or "/" in names or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in names):
        return _denied(now, "admission.invalid_name", f"{spec.user!r} or {spec.server!r} is not a name.")
    if request.terms.slug != spec.profile or request.terms.digest != spec.profile_digest:
        return _denied(
            now,
            "admission.profile_mismatch",
            f"The spec's profile {spec.profile!r} is not the one described.",
        )
    return None


def _changed_profile(now: datetime, request: AdmissionRequest, terms: ProfileTerms) -> Admission | None:
    # A profile that control's own file does not have gives terms without a digest.
    if terms.digest and terms.digest == request.spec.profile_digest:
        return None
    return _denied(
        now,
        "admission.profile_changed",
        f"The profile {request.spec.profile!r} is not the one in control's profiles file.",
        "It was edited a moment ago, or its last edit is refused: start the server again; if it stays like"
        " this, tell your admin (jupyter-sandbox-admin profiles status).",
    )


def _answer_again(now: datetime, spec: SandboxSpec, old: KnownSandbox) -> Admission:
    if not old.is_open or (old.user, old.server) != (spec.user, spec.server):
        return _denied(
            now,
            "admission.id_used",
            f"The sandbox id {spec.id} was used before.",
            "Start the server again; it gets a new id.",
        )
    return Admission(admitted=True, now=now, deadline=old.deadline, repeated=True)


def _wrong_group(now: datetime, request: AdmissionRequest, terms: ProfileTerms) -> Admission | None:
    if terms.allowed_groups is None or set(terms.allowed_groups) & set(request.groups):
        return None
    groups = ", ".join(terms.allowed_groups) or "nobody"
    return _denied(
        now,
        "profile.not_allowed",
        f"The profile {terms.slug!r} is for {groups}.",
        "Choose another profile, or ask the admin to add you to the group.",
    )


def _too_many(
    now: datetime, spec: SandboxSpec, known: Sequence[KnownSandbox], terms: ProfileTerms
) -> Admission | None:
    others = [old for old in known if old.is_open and old.user == spec.user and old.server != spec.server]
    if terms.servers_per_user is None or len(others) < terms.servers_per_user:
        return None
    names = ", ".join(sorted(repr(old.server or "default") for old in others))
    return _denied(
        now,
        "quota.servers.user",
        f"You have {len(others)} of {terms.servers_per_user} servers running: {names}.",
        "Stop one of them first.",
    )


def _notices(spec: SandboxSpec, terms: ProfileTerms) -> tuple[str, ...]:
    notices = []
    if spec.ttl is not None:
        more = f"; it can be extended by {format_duration(terms.extend_by)}" if terms.extend_by else ""
        notices.append(f"This server runs for {format_duration(spec.ttl)}{more}.")
    if spec.idle_timeout is not None:
        notices.append(f"It stops when it is not used for {format_duration(spec.idle_timeout)}.")
    return tuple(notices)


def denied_by(now: datetime, refusal: Refusal) -> Admission:
    """The denial that says which cap or pool stands in the way, and until when."""
    denial = _denied(now, refusal.code, refusal.message, refusal.remedy)
    return replace(denial, retry_at=refusal.retry_at)


def _denied(now: datetime, code: str, message: str, remedy: str = "") -> Admission:
    return Admission(admitted=False, now=now, code=code, message=message, remedy=remedy)
