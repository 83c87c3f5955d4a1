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
from ..rules.admission import Admission, AdmissionRequest, ProfileTerms
from ..rules.policy import Decision
from ..rules.rulebook import Rulebook
from . import data, ledger, records

__all__ = ["Asking", "grant"]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One request with all that was found out about it before the transaction.

    `terms` are control's own where it has the file; `rulings` is what policy said at each point, all of which
    must allow; `dataset_rulings` what it said to each dataset, which is left out where it did not allow;
    `leaving` are sandboxes of the same server that this admission closes.
    """

    request: AdmissionRequest
    terms: ProfileTerms
    book: Rulebook
    rulings: tuple[Decision, ...] = ()
    dataset_rulings: Mapping[str, Decision] = field(default_factory=dict)
    internal_services: Mapping[str, str] = field(default_factory=dict)
    gpus: GpuInventory = field(default_factory=GpuInventory)
    leaving: tuple[str, ...] = ()


def grant(connection: Connection, now: datetime, asking: Asking, answer: Admission) -> Admission:
    """The answer with the spec that may be started, or a denial."""
    spec = asking.request.spec
    if answer.repeated:
        record = records.by_id(connection, spec.id)
        return replace(answer, spec=record.parsed_spec() if record else spec)
    mounted = data.mount(connection, now, asking, spec)
    found = ledger.take(connection, now, asking, mounted.spec)
    if isinstance(found, Admission):
        return found
    return replace(data.noted(answer, mounted), spec=found, deadline=_deadline(now, found))


def _deadline(now: datetime, spec: SandboxSpec) -> datetime | None:
    return None if spec.ttl is None else now + timedelta(seconds=spec.ttl)
