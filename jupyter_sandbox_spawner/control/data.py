"""Which datasets does a sandbox mount, and what does their presence take away from it?

Law: decided in the transaction that records the admission, by tags and approvals as they stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ..models import Mount, SandboxSpec
from ..rules.admission import Admission, AdmissionRequest, ProfileTerms
from ..rules.audit import Entry
from ..rules.catalogue import (
    TAGS,
    Dataset,
    DatasetDecision,
    Tag,
    find,
    highest,
    known_tags,
    reaches,
    zone_of,
)
from ..rules.datasets import (
    LONGEST,
    Known,
    Verdict,
    decide,
    is_approved,
    tags_now,
    tighten,
    tighten_terms,
)
from ..rules.policy import Decision, Question
from ..rules.rulebook import Rulebook
from ..units import format_duration
from . import catalogues, data_records
from .parts import Parts
from .records import SandboxRecord

if TYPE_CHECKING:
    from .granting import Asking

__all__ = [
    "Asked",
    "Mounted",
    "entries",
    "known_of",
    "look",
    "loosened",
    "mount",
    "narrowed_terms",
    "noted",
    "questions",
]


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """The narrowed spec, and what became of each dataset."""

    spec: SandboxSpec
    decisions: tuple[DatasetDecision, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who would mount what."""

    user: str
    groups: tuple[str, ...]
    names: tuple[str, ...]


def known_of(
    connection: Connection, now: datetime, book: Rulebook, rulings: Mapping[str, Decision] | None
) -> Known:
    """What is known about the file's datasets now; tags that rose in the file count from here on."""
    data_records.record_file(connection, book.datasets, now)
    recorded = data_records.recorded_tags(connection)
    if not set(catalogues.names()) <= set(data_records.imports(connection)):
        # A catalogue that never answered could have said anything.
        recorded |= {dataset.id: "secret" for dataset in book.datasets}
    return Known(
        catalogue=book.datasets,
        recorded=recorded,
        approvals=data_records.approvals_of(connection, now),
        rulings=rulings,
        # OPA may have relied on one whatever the tags are.
        open_tags=() if book.policy.opa else book.policy.open_tags,
    )


async def questions(
    parts: Parts, request: AdmissionRequest, terms: ProfileTerms, book: Rulebook
) -> dict[str, Decision]:
    """What policy says to each dataset of the profile, by `id@version`; asked before the transaction."""
    if not terms.datasets:
        return {}
    now, user, groups = parts.clock.now(), request.spec.user, request.groups
    known = await parts.store.run(lambda db: known_of(db, now, book, None))
    asked: dict[str, Decision] = {}
    for name in terms.datasets:
        dataset = find(book.datasets, name)
        if dataset is None:
            continue
        tags = tags_now(dataset, known.recorded)
        question = Question(
            point="dataset",
            user=user,
            groups=tuple(sorted(groups)),
            profile=terms.slug,
            resource=dataset.name,
            tags=tags,
            approved=is_approved(now, user, groups, dataset.id, tags, known) is not None,
        )
        asked[dataset.name] = await parts.policy.ask(question, book)
    return asked


def mount(connection: Connection, now: datetime, asking: Asking, spec: SandboxSpec) -> Mounted:
    """The spec with the datasets that may be mounted now, narrowed as they demand; others are left out."""
    if not asking.terms.datasets:
        return Mounted(spec=spec)
    known = known_of(connection, now, asking.book, asking.dataset_rulings)
    verdict = decide(now, spec.user, asking.request.groups, asking.terms.datasets, known)
    narrowed = tighten(now, spec, verdict.granted, asking.internal_services)
    return Mounted(spec=narrowed, decisions=verdict.decisions)


def noted(answer: Admission, mounted: Mounted) -> Admission:
    """The answer with what became of datasets, in sentences for the user."""
    told = [f"Not mounted: {item.why} ({item.code})" for item in mounted.decisions if item.code]
    if mounted.spec.zone:
        told.append(
            f"This server works with {mounted.spec.zone} data: its home is that of the zone"
            f" {mounted.spec.zone}, it reaches the site's own services only, downloads are off, and it runs"
            f" for {format_duration(mounted.spec.ttl or LONGEST)} at most."
        )
    return replace(answer, notices=(*answer.notices, *told), datasets=mounted.decisions)


def look(connection: Connection, now: datetime, book: Rulebook, wanted: Asked) -> Verdict:
    """What a start would mount now, policy aside."""
    known = known_of(connection, now, book, None)
    return decide(now, wanted.user, wanted.groups, wanted.names, known)


def entries(request: AdmissionRequest, answer: Admission) -> list[Entry]:
    """One line of the audit for each dataset that the profile names, mounted or not."""
    spec = answer.spec or request.spec
    return [
        Entry(
            actor="control",
            action="dataset.mount",
            outcome="denied" if item.code else "allowed",
            user=spec.user,
            server=spec.server,
            sandbox=spec.id,
            code=item.code,
            policy_digest=item.policy_digest,
            detail={
                "dataset": item.name,
                "tags": list(item.tags),
                "manifest": item.manifest,
                "zone": spec.zone,
                **({"decision_id": item.decision_id} if item.decision_id else {}),
            },
        )
        for item in answer.datasets
    ]


def narrowed_terms(terms: ProfileTerms, spec: SandboxSpec) -> ProfileTerms:
    """What may be extended and read in the sandbox that is started."""
    return tighten_terms(terms, spec)


def loosened(now: datetime, record: SandboxRecord, raised: str, book: Rulebook, known: Known) -> str:
    """What an open sandbox mounts too openly, or without a right to it, since `raised` was; "": nothing.

    Of one that was adopted nobody knows what it mounts, so it may be that.
    """
    mounted: list[tuple[Dataset, tuple[Tag, ...]]]
    spec = record.known_spec()
    if spec is None:
        mounted = [(item, ()) for item in known.catalogue if item.id == raised]
    else:
        data = [mount for mount in spec.mounts if mount.kind == "dataset"]
        mounted = [(_dataset_of(mount, known), known_tags(mount.tags)) for mount in data]
    for item, before in mounted:
        tags = tags_now(item, known.recorded)
        risen = not before or TAGS.index(highest(tags)) > TAGS.index(highest(before))
        needed = risen and (zone_of(tags) or not set(tags) <= set(book.policy.open_tags))
        approved = is_approved(now, record.user, record.groups, item.id, tags, known) is not None
        if not reaches(record.zone or "", tags) or (needed and not approved):
            return item.name
    return ""


def _dataset_of(mount: Mount, known: Known) -> Dataset:
    """What a mount shows: its files by where they are, its tags by the catalogue, else as they were."""
    name, _, version = mount.dataset.partition("@")
    listed = find(known.catalogue, mount.dataset)
    tags = listed.tags if listed else known_tags(mount.tags)
    return Dataset(id=name, version=version, uri=f"file://{mount.source}", owner="", tags=tags)
