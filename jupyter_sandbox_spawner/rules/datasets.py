"""Which datasets may this person mount now, and what does their presence take away from the sandbox?

Law: data only ever tightens. With guarded data a sandbox has one fixed end, no way out but the site's own
services, files that stay where they are, and a zone of its own; no further dataset loosens any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta, timezone

from ..models import EgressPolicy, EgressRule, Mount, SandboxSpec
from .admission import ProfileTerms
from .catalogue import (
    TAGS,
    Dataset,
    DatasetDecision,
    Tag,
    Zone,
    find,
    highest,
    known_tags,
    reaches,
    zone_of,
)
from .grants import Grant
from .policy import Decision
from .services import service_places

__all__ = [
    "LONGEST",
    "Approval",
    "Granted",
    "Known",
    "Verdict",
    "decide",
    "inherited",
    "inside_only",
    "is_approved",
    "looseness",
    "tags_now",
    "tighten",
    "tighten_terms",
]

LONGEST = 8 * 3600  # seconds that a sandbox with guarded data lives at most


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Two people let a user or a group mount a dataset until then, while its tags reach `tag` at most.

    `by`: the hub users who did; it does not count for themselves.
    """

    dataset: str
    tag: Tag
    until: datetime
    user: str = ""
    group: str = ""
    by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a decision looks at.

    `recorded`: the most guarded tag that was ever read, by id of a dataset and by its uri. `approvals` are
    those of two people. `rulings`: what policy said, by `id@version`; None where policy was not asked, as for
    a mere look; a dataset that is missing in it was not allowed. `open_tags`: with these alone nothing relies
    on an approval.
    """

    catalogue: Sequence[Dataset] = ()
    recorded: Mapping[str, Tag] = field(default_factory=dict)
    approvals: Sequence[Approval] = ()
    rulings: Mapping[str, Decision] | None = None
    open_tags: Sequence[Tag] = ()


@dataclass(frozen=True, kw_only=True)
class Granted:
    """A dataset that is mounted, its tags now, and when the right to it ends (None: it does not)."""

    dataset: Dataset
    tags: tuple[Tag, ...]
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is mounted, what became of each wanted dataset, and the zone that follows."""

    granted: tuple[Granted, ...]
    decisions: tuple[DatasetDecision, ...]
    zone: Zone

    @property
    def refused(self) -> tuple[DatasetDecision, ...]:
        """Those that are left out."""
        return tuple(item for item in self.decisions if item.code)


def inherited(tags: Sequence[tuple[Tag, ...]]) -> Tag:
    """The tag of what is made from data with these tags: the most guarded of them all."""
    return max((highest(item) for item in tags), key=TAGS.index, default="public")


def tags_now(dataset: Dataset, recorded: Mapping[str, Tag]) -> tuple[Tag, ...]:
    """The tags that hold: the file's, and what was recorded of the dataset, or of the files it shows."""
    found = [recorded[key] for key in (dataset.id,) if key in recorded]
    found += [tag for key, tag in recorded.items() if _overlap(key, dataset.uri)]
    return known_tags([*(dataset.tags or ("secret",)), *found])


def is_approved(
    now: datetime, user: str, groups: Sequence[str], name: str, tags: tuple[Tag, ...], known: Known
) -> datetime | None:
    """Until when two people have let this person mount the dataset of this id; None where they have not."""
    level = TAGS.index(highest(tags))
    ends = [
        item.until
        for item in known.approvals
        if item.dataset == name
        and item.until > now
        and TAGS.index(item.tag) >= level
        and user not in item.by
        and (item.user == user if item.user else item.group in groups and item.group != "")
    ]
    return max(ends, default=None)


def decide(now: datetime, user: str, groups: Sequence[str], wanted: Sequence[str], known: Known) -> Verdict:
    """Each wanted dataset (`id` or `id@version`) is granted, or left out with its reason."""
    granted: list[Granted] = []
    decisions: list[DatasetDecision] = []
    for name in dict.fromkeys(wanted):
        dataset = find(known.catalogue, name)
        if dataset is None:
            why = f"The catalogue has no dataset {name!r}; tell your admin."
            decisions.append(DatasetDecision(name=name, code="dataset.unknown", why=why))
            continue
        tags = tags_now(dataset, known.recorded)
        until = is_approved(now, user, groups, dataset.id, tags, known)
        taken = dataset.id in {item.dataset.id for item in granted}
        code, why = _reason(now, groups, dataset, tags, until, known) or ("", "")
        if taken and not code:
            code, why = "dataset.twice", f"Another version of {dataset.id} is mounted already."
        decisions.append(_decision(dataset, tags, code, why, known))
        if not code:
            granted.append(Granted(dataset=dataset, tags=tags, until=_end(dataset, tags, until, known)))
    zone = zone_of((inherited([item.tags for item in granted]),))
    return Verdict(granted=tuple(granted), decisions=tuple(decisions), zone=zone)


def tighten(
    now: datetime, spec: SandboxSpec, granted: Sequence[Granted], internal_services: Mapping[str, str]
) -> SandboxSpec:
    """The spec with what is granted mounted read-only, and everything taken away that its tags forbid."""
    tag = inherited([item.tags for item in granted])
    mounts = tuple(
        Mount(
            kind="dataset",
            source=item.dataset.path,
            target=item.dataset.target,
            read_only=True,
            dataset=item.dataset.name,
            tags=item.tags,
            until=item.until,
        )
        for item in granted
    )
    spec = replace(spec, mounts=(*spec.mounts, *mounts))
    ends = [int((item.until - now).total_seconds()) for item in granted if item.until is not None]
    limits = [*ends, *([] if spec.ttl is None else [spec.ttl])]
    zone = zone_of((tag,))
    if not zone:
        return replace(spec, ttl=max(min(limits), 1) if limits else None)
    return replace(
        spec,
        zone=zone,
        ttl=max(min(*limits, LONGEST), 1) if limits else LONGEST,
        egress=_inside_only(spec.egress, internal_services),
        browser=replace(spec.browser, downloads=False, hosts=()),
    )


def tighten_terms(terms: ProfileTerms, spec: SandboxSpec) -> ProfileTerms:
    """In a zone the end stays, and no secret opens a way out: what the broker's proxy adds goes outside.

    It stays also where the right to a dataset ends.
    """
    if not spec.zone and not any(mount.until for mount in spec.mounts):
        return terms
    secrets = inside_only(terms.secrets, spec.zone)
    return replace(terms, extend_by=None, extend_at_most=None, secrets=secrets)


def inside_only(secrets: Sequence[Grant], zone: str) -> tuple[Grant, ...]:
    """The secrets that open no way out of a zone."""
    return tuple(grant for grant in secrets if not zone or grant.delivery != "proxy")


def looseness(
    spec: SandboxSpec, tags: Sequence[tuple[Tag, ...]], internal_services: Mapping[str, str]
) -> str:
    """What of a spec is wider than its zone and data with these tags allow; "" where nothing is."""
    guarded = bool(spec.zone) or not all(reaches("", item) for item in tags)
    if not all(reaches(spec.zone, item) for item in tags):
        return f"The zone {spec.zone!r} is not guarded enough for {inherited(tags)} data."
    if any(mount.kind == "dataset" and not mount.read_only for mount in spec.mounts):
        return "A dataset is writable."
    if not guarded:
        return ""
    if _inside_only(spec.egress, internal_services).rules != spec.egress.rules:
        return "It may reach hosts outside."
    if spec.ttl is None or not 0 < spec.ttl <= LONGEST:
        return f"It may live for longer than {LONGEST} s."
    if spec.browser.downloads or spec.browser.hosts:
        return "Its files may go to browsers or other hosts."
    return ""


def _reason(
    now: datetime,
    groups: Sequence[str],
    dataset: Dataset,
    tags: tuple[Tag, ...],
    until: datetime | None,
    known: Known,
) -> tuple[str, str] | None:
    """Code and sentence for a dataset that this person may not mount."""
    if dataset.allowed_groups is not None and not set(dataset.allowed_groups) & set(groups):
        listed = " or ".join(dataset.allowed_groups) or "nobody"
        return "dataset.not_allowed", f"{dataset.name} is for group {listed}; ask {dataset.owner}."
    if dataset.expires is not None and now >= _after(dataset):
        return "dataset.expired", f"{dataset.name} expired on {dataset.expires}; ask {dataset.owner}."
    if zone_of(tags) and until is None:
        why = f"{dataset.name} is tagged {', '.join(tags)} and two people must approve you;"
        return "dataset.not_approved", f"{why} ask {dataset.owner}."
    if known.rulings is not None:
        ruling = known.rulings.get(dataset.name)
        if ruling is None or not ruling.allow:
            reasons = ", ".join(ruling.reasons) if ruling else "it was not asked"
            return "dataset.policy", f"Policy does not allow {dataset.name} ({reasons}); ask your admin."
    return None


def _decision(dataset: Dataset, tags: tuple[Tag, ...], code: str, why: str, known: Known) -> DatasetDecision:
    ruling = (known.rulings or {}).get(dataset.name)
    return DatasetDecision(
        name=dataset.name,
        code=code,
        why=why,
        tags=tags,
        manifest=dataset.manifest,
        policy_digest=ruling.digest if ruling else "",
        decision_id=ruling.decision_id if ruling else "",
    )


def _after(dataset: Dataset) -> datetime:
    """The first instant (UTC) at which an expiring dataset is not given any more."""
    day = dataset.expires
    if day is None:
        return datetime.max.replace(tzinfo=timezone.utc)
    return datetime.combine(day, time(), timezone.utc) + timedelta(days=1)


def _end(dataset: Dataset, tags: tuple[Tag, ...], until: datetime | None, known: Known) -> datetime | None:
    """When the right to a granted dataset ends: with its last day, and with the approval it relies on."""
    relies = zone_of(tags) or not set(tags) <= set(known.open_tags)
    ends = [until] if until is not None and relies else []
    ends += [_after(dataset)] if dataset.expires is not None else []
    return min(ends, default=None)


def _overlap(key: str, uri: str) -> bool:
    """Is one of the two addresses the other, or a directory within it?"""
    return "://" in key and (f"{uri}/".startswith(f"{key}/") or f"{key}/".startswith(f"{uri}/"))


def _inside_only(egress: EgressPolicy, internal_services: Mapping[str, str]) -> EgressPolicy:
    """The rules that name a service of the site; their words are the same, their ports perhaps fewer."""
    places = set(service_places(internal_services))
    kept: list[EgressRule] = []
    for rule in egress.rules:
        ports = tuple(port for port in rule.ports if (rule.pattern, port) in places)
        if ports == rule.ports and not rule.allow_private:
            kept.append(rule)
        elif ports:
            text = f"{rule.pattern}:{','.join(map(str, ports))}"
            kept.append(EgressRule(pattern=rule.pattern, ports=ports, text=text))
    return replace(egress, rules=tuple(kept))
