"""What does an admitted sandbox get of what is scarce or guarded: datasets, then room and devices?

Law: all of it in the transaction that records the admission; what is denied took nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..gpus import GpuInventory
from ..models import SandboxSpec
from ..rules.admission import Admission, AdmissionRequest, ProfileTerms, denied_by
from ..rules.closing import closed_now
from ..rules.grants import Grant, decide_grants
from ..rules.lifetimes import Subject
from ..rules.policy import Decision
from ..rules.policy_effects import kept_back, refusal
from ..rules.policy_words import explain, way_out
from ..rules.rulebook import Rulebook
from . import data, egress_granting, ledger, records

__all__ = ["Asking", "grant"]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One request with all that was found out about it before the transaction.

    `terms` are control's own where it has the file; `rulings` is what policy said at each point, all of which
    must allow; `dataset_rulings` what it said to each dataset, which is left out where it did not allow;
    `egress` are the numbers of the grants of hosts that it allows;
    `leaving` are sandboxes of the same server that this admission closes.
    """

    request: AdmissionRequest
    terms: ProfileTerms
    book: Rulebook
    rulings: tuple[Decision, ...] = ()
    dataset_rulings: Mapping[str, Decision] = field(default_factory=dict)
    egress: frozenset[int] = frozenset()
    internal_services: Mapping[str, str] = field(default_factory=dict)
    gpus: GpuInventory = field(default_factory=GpuInventory)
    leaving: tuple[str, ...] = ()


def grant(connection: Connection, now: datetime, asking: Asking, answer: Admission) -> Admission:
    """The answer with the spec that may be started, or a denial."""
    spec = asking.request.spec
    if answer.repeated:
        record = records.by_id(connection, spec.id)
        return replace(answer, spec=record.parsed_spec() if record else spec)
    closed = closed_now(now, asking.book.lifetime, _subject(asking))
    if closed is not None:
        return denied_by(now, closed)
    no = refusal(asking.rulings, _grants(asking))
    if no is not None:
        return _denied(now, no, asking)
    mounted = data.mount(connection, now, asking, spec)
    found = ledger.take(connection, now, asking, mounted.spec)
    if isinstance(found, Admission):
        return found
    answer = replace(answer, notices=(*answer.notices, *_notices(asking)))
    found = egress_granting.opened(connection, now, asking, found)
    return replace(data.noted(answer, mounted), spec=found, deadline=_deadline(now, found))


def _subject(asking: Asking) -> Subject:
    spec, gpu = asking.request.spec, asking.terms.gpu
    return Subject(
        profile=spec.profile,
        groups=asking.request.groups,
        gpus=gpu.count if gpu is not None else 0,
        idle_timeout=spec.idle_timeout,
    )


def _grants(asking: Asking) -> tuple[Grant, ...]:
    """The secrets that this person would get, before policy's word."""
    request = asking.request
    return decide_grants(request.spec.user, request.groups, asking.terms.secrets).granted


def _denied(now: datetime, ruling: Decision, asking: Asking) -> Admission:
    return Admission(
        admitted=False,
        now=now,
        code=ruling.reasons[0],
        message=explain(ruling, asking.book.policy),
        remedy=way_out(ruling),
    )


def _notices(asking: Asking) -> list[str]:
    kept = kept_back(asking.rulings)
    return [f"The site's policy keeps back the secret {name} ({why})." for name, why in kept.items()]


def _deadline(now: datetime, spec: SandboxSpec) -> datetime | None:
    return None if spec.ttl is None else now + timedelta(seconds=spec.ttl)
